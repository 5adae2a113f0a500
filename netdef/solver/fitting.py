"""Do a solver's fields that speak of layers and outputs fit its nets?"""

from __future__ import annotations

from collections.abc import Sequence

from netdef.diagnostics import Diagnostic, error
from netdef.ir import Graph
from netdef.solver.config import SolverConfig
from netdef.solver.factors import apply_rules, unused_rules

UNRECORDED = {
    "Filter": "the size of its tops depends on values",
    "HDF5Output": "it writes to the disk",
    "Python": "its code runs on the processor",
}
"""Layer types that a GPU cannot replay, and why."""


def unfit(config: SolverConfig, train: Graph | None, tests: Sequence[Graph | None]) -> list[Diagnostic]:
    """An error for each `param_rule` without a layer, and each watched output that its test net has not.

    And for each layer that a GPU is to record and cannot, and a training net that cannot learn. A net that is None is
    not looked at.
    """
    found = unused_rules(train, config.param_rules) if train is not None else []
    if train is not None and not found:
        found += learns_nothing(apply_rules(train, config.param_rules), config)
    if train is not None and config.cuda_graphs and not config.compile and config.gpu is not None:
        found += unrecorded(train)
    for watch in config.watches.values():
        graph = tests[watch.net]
        fault = watch.missing([blob.id for blob in graph.outputs]) if graph is not None else None
        found += [fault] if fault else []
    return found


def learns_nothing(graph: Graph, config: SolverConfig) -> list[Diagnostic]:
    """An error where a net, to which the solver's rules are applied, has no loss, and where it has nothing to learn."""
    found, span = [], config.train.span
    if not any(graph.losses()):
        help = "add a layer such as SoftmaxWithLoss; a deploy net has none, its train_val net does"
        found.append(error("ND0712", f'the net "{graph.name}" has no loss in phase TRAIN', span=span, help=help))
    if not any(param.lr_mult for param in graph.params.values()):
        help = "let a layer learn: `param { lr_mult: 1 }`"
        if config.param_rules:
            span = config.param_rules[-1].span
            help = 'let a layer learn: `param_rule { layer: "fc*" lr_mult: 1 }` behind this one'
        message = f'the net "{graph.name}" has no parameter with an lr_mult above 0'
        found.append(error("ND0712", message, span=span, help=help))
    return found


def unrecorded(graph: Graph) -> list[Diagnostic]:
    """An error for each layer that a GPU cannot record and replay."""
    found = []
    for node in graph.nodes:
        if node.type in UNRECORDED:
            message = f'`cuda_graphs`: {node.type} "{node.id}" cannot be recorded: {UNRECORDED[node.type]}'
            found.append(error("ND0713", message, span=node.places.layer, help="remove `cuda_graphs`"))
    return found
