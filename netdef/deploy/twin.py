"""A graph in torch with values that are at hand: to compare with it, or to compute what no input decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from netdef.deploy.verify import run_torch
from netdef.ir import Graph
from netdef.targets.torch import build_module, tensors

Array = NDArray[Any]


def loaded(graph: Graph, arrays: Mapping[str, Array]) -> fx.GraphModule:
    """The graph's module that gives every blob, with these parameters, by Param id."""
    module = build_module(graph, outputs=[*graph.blobs])
    with torch.no_grad():
        for id, tensor in tensors(module, graph).items():
            tensor.copy_(torch.from_numpy(np.asarray(arrays[id], np.float32, order="C")))
    return module


def in_torch(graph: Graph, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a graph without inputs, by blob id."""
    found = run_torch(loaded(graph, arrays), {})
    return {blob.id: found[blob.id] for blob in graph.outputs}
