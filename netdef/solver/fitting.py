"""Do a solver's fields that speak of layers and outputs fit its nets?"""

from __future__ import annotations

from collections.abc import Sequence

from netdef.diagnostics import Diagnostic
from netdef.ir import Graph
from netdef.solver.config import SolverConfig
from netdef.solver.factors import unused_rules


def unfit(config: SolverConfig, train: Graph | None, tests: Sequence[Graph | None]) -> list[Diagnostic]:
    """An error for each `param_rule` without a layer, and each watched output that its test net has not.

    A net that is None is not looked at.
    """
    found = unused_rules(train, config.param_rules) if train is not None else []
    for watch in config.watches.values():
        graph = tests[watch.net]
        fault = watch.missing([blob.id for blob in graph.outputs]) if graph is not None else None
        found += [fault] if fault else []
    return found
