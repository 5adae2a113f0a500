"""What the submodule of each node is called: its layer's name, as far as torch allows."""

from __future__ import annotations

from torch import nn

from netdef.ir import Graph

_TAKEN = frozenset(dir(nn.Module())) | {"graph", "meta", "code"}


def module_names(graph: Graph) -> dict[str, str]:
    """Names by node id: dots become underscores, and a name that torch uses itself gets one at its end."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for node in graph.nodes:
        name = node.id.replace(".", "_") or "_"
        while name in used or name in _TAKEN:
            name += "_"
        used.add(name)
        names[node.id] = name
    return names
