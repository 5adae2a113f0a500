"""Floor 7: training. The configuration is free of torch; `netdef.solver.loop` holds the Solver."""

from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.policy import Policy

__all__ = ["NetChoice", "Policy", "SolverConfig"]
