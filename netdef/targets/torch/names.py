"""What the submodule of each node is called: its layer's name, as far as torch allows."""

from __future__ import annotations

from keyword import iskeyword

from torch import nn

from netdef.ir import Graph

_UNSAFE = frozenset(".\"'\\")
"""A dot parts names of modules; the others end or escape a text in the code that torch.fx generates and runs."""
_TAKEN = frozenset(dir(nn.Module())) | {"graph", "meta", "code"}


def module_names(graph: Graph) -> dict[str, str]:
    """Names by node id; a name that torch or Python uses itself gets an underscore at its end."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for node in graph.nodes:
        name = "".join(c if c.isprintable() and c not in _UNSAFE else "_" for c in node.id) or "_"
        while name in used or name in _TAKEN or iskeyword(name):
            name += "_"
        used.add(name)
        names[node.id] = name
    return names
