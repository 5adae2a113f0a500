"""What does training change? All of a run's state in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from netdef.diagnostics import Diagnostic, NetdefError
from netdef.solver import rules
from netdef.solver.config import SolverConfig
from netdef.solver.ema import Average
from netdef.solver.fitting import unfit
from netdef.solver.losses import Losses
from netdef.solver.optimizer import CaffeOptimizer, Learnable
from netdef.solver.randomness import Randomness
from netdef.solver.running import RunningNet
from netdef.solver.scaling import NO_SCALE, Scale
from netdef.solver.team import ALONE
from netdef.solver.watched import Standing
from netdef.targets.torch import load_arrays, net_layers, shared_blobs, tensors
from netdef.targets.torch.parts import own
from netdef.weights import match, read_weights

RULES: dict[str, Callable[[SolverConfig], rules.Rule]] = {
    "SGD": lambda c: rules.SGD(c.momentum),
    "Nesterov": lambda c: rules.Nesterov(c.momentum),
    "AdaGrad": lambda c: rules.AdaGrad(c.delta),
    "RMSProp": lambda c: rules.RMSProp(c.rms_decay, c.delta),
    "AdaDelta": lambda c: rules.AdaDelta(c.momentum, c.delta),
    "Adam": lambda c: rules.Adam(c.momentum, c.momentum2, c.delta),
    "AdamW": lambda c: rules.AdamW(c.momentum, c.momentum2, c.delta),
}


@dataclass(slots=True)
class Run:
    """Nets with their weights and data, and where the run stands.

    Attributes:
        scale: what the loss is multiplied by, where gradients are in half precision.
        iter: updates made so far.
        current_step: drops that the learning rate policy has made.
        average: the moving average of the weights, where `ema_decay` asks for one.
        standings: how the outputs stand that `plateau` and `early_stop` watch.
        update: what the last update subtracted from each parameter (from this process's part of it), by its id; kept
            for `snapshot_diff` alone.
    """

    config: SolverConfig
    train: RunningNet
    tests: list[RunningNet]
    optimizer: CaffeOptimizer
    random: Randomness
    losses: Losses
    scale: Scale = NO_SCALE
    iter: int = 0
    current_step: int = 0
    average: Average | None = None
    standings: dict[str, Standing] = field(default_factory=dict)
    update: dict[str, Tensor] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """The learning rate of the coming update, before any lr_mult."""
        policy = self.config.policy
        return policy.rate(self.iter, policy.current_step(self.iter, self.current_step))


def make_optimizer(config: SolverConfig, net: RunningNet) -> CaffeOptimizer:
    """The update rule of `config` for the learnable parameters of `net`, in Caffe's order."""
    held = tensors(net.module, net.graph)
    learnables = [Learnable(held[p.id], p.lr_mult, p.decay_mult) for p in net.graph.params.values()]
    return CaffeOptimizer(
        learnables,
        RULES[config.type](config),
        weight_decay=config.weight_decay,
        regularization=config.regularization,
        clip=config.clip_gradients,
        clip_value=config.clip_value,
        iter_size=config.iter_size,
        team=net.team if net.style.in_parts else ALONE,
    )


def attach(run: Run) -> None:
    """Give a run with its first weights what netdef's own fields ask for: the average, and the watched outputs.

    Raises:
        NetdefError: ND0716, a test net has not the output to watch.
    """
    config = run.config
    found = unfit(config, None, [test.graph for test in run.tests])
    if found:
        raise NetdefError(found)
    run.standings = {name: Standing(watch) for name, watch in config.watches.items()}
    if config.ema_decay:
        run.average = Average(tensors(run.train.module, run.train.graph), config.ema_decay)


def update(run: Run) -> None:
    """Make one update from the gradients at hand, and do what follows from it."""
    held = tensors(run.train.module, run.train.graph) if run.config.snapshot_diff else {}
    before = {name: own(tensor).detach().clone() for name, tensor in held.items()}
    run.scale.step(run.optimizer)
    run.update = {name: old - own(held[name]).detach() for name, old in before.items()}
    if run.average is not None:
        run.average.update()


def agree(run: Run) -> None:
    """Let running statistics, and their averages, be the same in every process; each calls it at the same time."""
    run.train.average_statistics()
    if run.average is not None:
        with run.average.in_place():
            run.train.average_statistics()


def load_weights(
    nets: Sequence[RunningNet], paths: Sequence[str | os.PathLike[str]], *, strict: bool = False
) -> tuple[Diagnostic, ...]:
    """Copy weight files into nets that share their parameters, matched by layer name; returns warnings.

    With `strict` the first net and the files must have the same layers.

    Raises:
        NetdefError: a file cannot be read, or a layer's blobs do not fit.
    """
    found: tuple[Diagnostic, ...] = ()
    files = [read_weights(path) for path in paths]
    for net in nets if files else ():
        report = match(net_layers(net.graph), files, strict=strict and net is nets[0], shared=shared_blobs(net.graph))
        load_arrays(net.module, net.graph, report.arrays)
        found = found or report.warnings
    return found
