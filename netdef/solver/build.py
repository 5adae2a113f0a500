"""From a solver's configuration to nets, data and optimizer, ready to train."""

from __future__ import annotations

import torch

from netdef.solver.config import SolverConfig
from netdef.solver.losses import Losses
from netdef.solver.nets import check_trainable, compile_choice
from netdef.solver.part import build_train
from netdef.solver.randomness import Randomness
from netdef.solver.run import Run, make_optimizer
from netdef.solver.running import build_test, share_weights
from netdef.solver.scaling import NO_SCALE, LossScale
from netdef.solver.style import Style
from netdef.solver.team import ALONE, Team


def build(config: SolverConfig, device: torch.device, team: Team, level: int | None, stages: tuple[str, ...]) -> Run:
    """A run at its beginning; level and stages are the training net's.

    Raises:
        NetdefError: with every error in the nets.
    """
    style = Style.of(config, device, team)
    graph = compile_choice(config.train, config, level, stages)
    check_trainable(graph, config)
    graphs = [compile_choice(choice, config) for choice in config.tests]
    random = Randomness(config.seed, device, team)
    train = build_train(graph, config, style.plain() if config.debug_info else style, random)
    tests = [build_test(g, c, config, style, random) for g, c in zip(graphs, config.tests, strict=True)]
    share_weights(train, *tests)
    scale = LossScale(device, team if style.in_parts else ALONE) if config.precision == "FP16" else NO_SCALE
    return Run(config, train, tests, make_optimizer(config, train), random, Losses(config.average_loss), scale)
