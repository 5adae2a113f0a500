"""How does a graph run in torch, with weights from files or with values that are at hand?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from netdef.diagnostics import Diagnostic, RunError, error, warning
from netdef.diagnostics.words import some
from netdef.files import PathLike
from netdef.graph import demand_layers
from netdef.ir import Graph, Shape
from netdef.nn.recurrent import Recurrent
from netdef.targets.torch import build_module, load_arrays, net_layers, shared_blobs, tensors
from netdef.weights import MatchReport, match, read_weights

Array = NDArray[Any]


def torch_twin(
    graph: Graph, weights: Sequence[PathLike], seed: int, *, strict: bool = False
) -> tuple[fx.GraphModule, tuple[Diagnostic, ...]]:
    """The graph's torch module that gives every blob, in float32 on the CPU, and warnings about its weights.

    Raises:
        NetdefError: no layer is there (ND0906), or the weights do not fit (ND06xx).
    """
    module = build_module(demand_layers(graph), outputs=[*graph.blobs], rng=np.random.default_rng(seed))
    _settle(module, graph)
    report = load_weights(module, graph, weights, strict=strict)
    return module, (*report.warnings, *_random(graph, weights, report.left))


def _settle(module: fx.GraphModule, graph: Graph) -> None:
    """Let BatchNorm begin with variance 1, for layers that get no weights.

    Caffe's fresh statistics say variance 0, so that each such layer multiplies by 1 / sqrt(eps), some 300: a deep net
    overflows, and nothing could be proven of it.
    """
    held = tensors(module, graph)
    for id, param in graph.params.items():
        if param.spec.statistic and param.spec.name in ("variance", "factor"):
            held[id].fill_(1.0)


def _random(graph: Graph, weights: Sequence[PathLike], left: Sequence[str]) -> list[Diagnostic]:
    """A warning where parameters keep their fillers' values."""
    if weights and left:
        return [warning("ND0912", f"no weights for {some(left)}: exported with random values")]
    if not weights and graph.params:
        return [warning("ND0912", "no --weights: the model is exported with random values")]
    return []


def load_weights(module: nn.Module, graph: Graph, files: Sequence[PathLike], *, strict: bool = False) -> MatchReport:
    """Copy the weights of files, of which later ones win, into the module of a graph; what went where.

    Raises:
        NetdefError: they do not fit (ND06xx); with `strict` graph and files must have the same layers.
    """
    read = [read_weights(file) for file in files]
    report = match(net_layers(graph), read, strict=strict, shared=shared_blobs(graph))
    load_arrays(module, graph, report.arrays)
    return report


def loaded(graph: Graph, arrays: Mapping[str, Array]) -> fx.GraphModule:
    """The graph's module that gives every blob, with these parameters, by Param id."""
    module = build_module(graph, outputs=[*graph.blobs])
    with torch.no_grad():
        for id, tensor in tensors(module, graph).items():
            tensor.copy_(torch.from_numpy(np.asarray(arrays[id], np.float32, order="C")))
    return module


def arrays_of(module: nn.Module, graph: Graph) -> dict[str, Array]:
    """A module's parameters by Param id, in the memory that they have there."""
    return {id: tensor.detach().numpy() for id, tensor in tensors(module, graph).items()}


def run_torch(module: torch.nn.Module, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The module's blobs on these inputs, by blob id, from a fresh recurrent state; RunError ND0915 if torch cannot."""
    for child in module.modules():
        if isinstance(child, Recurrent):
            child.reset()
    names: Mapping[str, str] = module.meta["inputs"]  # type: ignore[assignment,index]  # an fx.GraphModule's dict
    with torch.no_grad():
        try:
            # Not module(…): a GraphModule prints the traceback of what fails in it.
            tops = module.forward(**{names[id]: torch.from_numpy(array) for id, array in feeds.items()})
        except RuntimeError as fault:
            shapes = ", ".join(f"{id} {Shape(array.shape)}" for id, array in feeds.items())
            message = f"torch cannot run the net with {shapes}: {str(fault).splitlines()[0]}"
            raise RunError([error("ND0915", message, help="try another `--batch`")]) from fault
    return {id: value.detach().contiguous().numpy() for id, value in tops.items()}


def in_torch(graph: Graph, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a graph without inputs, by blob id."""
    found = run_torch(loaded(graph, arrays), {})
    return {blob.id: found[blob.id] for blob in graph.outputs}
