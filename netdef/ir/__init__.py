"""Floor 3: the graph between the text and the targets, free of protobuf, torch and onnx."""

from netdef.ir.cost import ITS_TOPS, NOTHING, Cost, Keeps
from netdef.ir.dump import dump
from netdef.ir.filler import ONE, ZERO, Filler
from netdef.ir.graph import Blob, Graph, Node, Param, ParamSpec, Phase, Places
from netdef.ir.memory import training_bytes
from netdef.ir.shape import SCALAR, UNKNOWN, Dim, Shape, agree, merge, product
from netdef.ir.verify import verify

__all__ = [
    "ITS_TOPS",
    "NOTHING",
    "ONE",
    "SCALAR",
    "UNKNOWN",
    "ZERO",
    "Blob",
    "Cost",
    "Dim",
    "Filler",
    "Graph",
    "Keeps",
    "Node",
    "Param",
    "ParamSpec",
    "Phase",
    "Places",
    "Shape",
    "agree",
    "dump",
    "merge",
    "product",
    "training_bytes",
    "verify",
]
