"""Is a text a net or a solver? Told by its fields, since names of files are only habits."""

from __future__ import annotations

from typing import Literal

from netdef.schema import netdef_pb2 as pb
from netdef.text.cst import Document

Kind = Literal["net", "solver"]

_NET = frozenset(pb.NetParameter.DESCRIPTOR.fields_by_name)
_SOLVER = frozenset(pb.SolverParameter.DESCRIPTOR.fields_by_name)


def kind_of(document: Document) -> Kind:
    """What most of the fields at the top of the text belong to; an even count makes it a net."""
    keys = [field.key for field in document.fields]
    nets = sum(key in _NET for key in keys)
    solvers = sum(key in _SOLVER for key in keys)
    if nets == solvers and "solver" in document.source.name:
        return "solver"
    return "solver" if solvers > nets else "net"
