"""How does the training loop run over pycaffe's nets?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from netdef.files import PathLike
from netdef.ir import Graph
from netdef.pycaffe import mode
from netdef.pycaffe.net import Net
from netdef.pycaffe.plan import Plan, plan_file, plan_message
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.events import Event, Warned
from netdef.solver.factors import apply_rules
from netdef.solver.log import lines
from netdef.solver.loop import Solver
from netdef.solver.losses import Losses
from netdef.solver.nets import batch_size, net_path
from netdef.solver.optimizer import CaffeOptimizer, Learnable
from netdef.solver.randomness import Randomness
from netdef.solver.run import RULES, Run
from netdef.solver.running import RunningNet
from netdef.solver.snapshot import Place
from netdef.solver.style import Style
from netdef.solver.team import ALONE
from netdef.targets.torch import tensors


class LiveNet(RunningNet):
    """A net of a run that computes layer by layer in a pycaffe Net, so that every blob can be looked at."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.graph: Graph = net.graph
        self.module = net.module
        self.feed: Any = net.sources  # a Feed would open what an Input never has
        self.style = Style(net.device, channels_last=False)
        self.team, self.batch_size = ALONE, batch_size(net.graph)
        self.batch: dict[str, Tensor] = {}
        self.weights = {blob.id: weight for blob, weight in net.graph.losses()}

    def forward(self) -> tuple[dict[str, Tensor], Tensor]:
        """Outputs by blob, and the weighted sum of the losses."""
        loss = self.net.forward_layers()
        names: Any = self.module.meta["inputs"]
        self.batch = {names[blob.id]: self.net.blobs[blob.name].value() for blob in self.graph.inputs}
        return {name: self.net.blobs[name].value().clone() for name in self.net.outputs}, torch.tensor(loss)


class LiveOptimizer(CaffeOptimizer):
    """Caffe's rule, which leaves what it subtracted in the gradients and clears nothing."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the weights; each gradient becomes its weight's change."""
        weights = [item.tensor for item in self.learnables if item.tensor.requires_grad]
        before = [weight.detach().clone() for weight in weights]
        loss = super().step(closure)
        for weight, old in zip(weights, before, strict=True):
            if weight.grad is not None:
                weight.grad.copy_(old - weight)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing: the loop clears before it sums the next gradients."""


class Loop(Solver):
    """The training loop over nets with live blobs.

    Attributes:
        live: the training net, then the test nets.
        callbacks: pairs called at an iteration's start and when its gradients are there.
    """

    def __init__(self, config: SolverConfig, *, device: str) -> None:
        self.live: list[Net] = []
        self.callbacks: list[tuple[Callable[[], object], Callable[[], object]]] = []
        super().__init__(config, device=device, observers=[_tell])
        self._refresh()

    def adopt(self, base_lr: float, max_iter: int) -> None:
        """Take over a changed learning rate and end."""
        if (base_lr, max_iter) != (self.config.policy.base_lr, self.config.max_iter):
            policy = replace(self.config.policy, base_lr=base_lr, max_iter=max_iter)
            self.config = replace(self.config, policy=policy, max_iter=max_iter)

    def step(self, count: int) -> None:
        """Train; the module has changed afterwards, so mirrors of its parameters are old."""
        super().step(count)
        self._refresh()

    def snapshot(self) -> Place:
        """Write weights, solver state and run state, with what numpy changed."""
        self.live[0].flush()
        return super().snapshot()

    def restore(self, path: PathLike) -> None:
        """Go on from a solver state."""
        self.live[0].flush()
        super().restore(path)
        self._refresh()

    def apply_update(self) -> None:
        """One update from the gradients at hand, without counting it."""
        self.live[0].flush()
        self.run.optimizer.rate = self.lr
        self.run.optimizer.step()
        self.run.optimizer.iteration = self.run.iter
        self._refresh()

    def _build(self, level: int | None, stages: tuple[str, ...]) -> Run:
        config = self.config
        seed = config.seed if config.seed is not None else mode.next_seed() if mode.is_seeded() else None
        random = Randomness(seed, self.device)
        for choice in (config.train, *config.tests):
            self.live.append(Net.of_plan(_plan(choice, config, level, stages), random.seed, random.fillers))
        train, *tests = [LiveNet(net) for net in self.live]
        for test in tests:
            test.net.share_with(train.net)
        optimizer, losses = _optimizer(config, train), Losses(config.average_loss)
        return Run(config, train, list[RunningNet](tests), optimizer, random, losses)

    def _forward_backward(self) -> Tensor:
        net = self.live[0]
        net.clear_param_diffs()
        for on_start, _ in self.callbacks:
            on_start()
        losses = []
        for _ in range(self.config.iter_size):
            self._outputs, loss = self.run.train.forward()
            net.backward_layers()
            losses.append(loss)
        for _, on_gradients in self.callbacks:
            on_gradients()
        net.flush()
        return torch.stack(losses).mean()

    def _refresh(self) -> None:
        self.live[0].refresh()


def _optimizer(config: SolverConfig, net: LiveNet) -> LiveOptimizer:
    held = tensors(net.module, net.graph)
    return LiveOptimizer(
        [Learnable(held[p.id], p.lr_mult, p.decay_mult) for p in net.graph.params.values()],
        RULES[config.type](config),
        weight_decay=config.weight_decay,
        regularization=config.regularization,
        clip=config.clip_gradients,
        clip_value=config.clip_value,
        iter_size=config.iter_size,
    )


def _plan(choice: NetChoice, config: SolverConfig, level: int | None, stages: Sequence[str]) -> Plan:
    """One of the solver's nets, compiled. Unlike `netdef train` it may begin with Inputs: a script can fill them."""
    path = net_path(choice, config)
    state = (choice.level if level is None else level), (*choice.stages, *stages)
    if path is not None:
        plan = plan_file(path, choice.phase, *state)
    else:
        plan = plan_message(choice.message, choice.where, config.path, choice.phase, *state)
    rules = config.param_rules if choice is config.train else ()
    return replace(plan, graph=apply_rules(plan.graph, rules))


def _tell(event: Event) -> None:
    for line in lines(event):
        mode.logger.info("%s", line)
    if isinstance(event, Warned):
        mode.logger.warning("%s", event.diagnostic.message)
