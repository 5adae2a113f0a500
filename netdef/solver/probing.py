"""What is left of a solver when its net only tries something out?"""

from __future__ import annotations

from dataclasses import replace

from netdef.solver.config import SolverConfig
from netdef.solver.policy import Policy


def probing(config: SolverConfig, policy: Policy) -> SolverConfig:
    """The solver with another learning rate policy, to that policy's `max_iter`; no tests, and nothing is written."""
    quiet = replace(config, tests=(), test_interval=0, snapshot=0, snapshot_after_train=False, metrics="")
    free = replace(quiet, plateau=None, early_stop=None, ema_decay=0.0)
    return replace(free, policy=policy, max_iter=policy.max_iter, average_loss=1)
