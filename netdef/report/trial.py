"""Which values can stand in for a net's data where its databases are not there?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdef.diagnostics import NetdefError, error
from netdef.graph import demand_layers
from netdef.graph.readers import readers
from netdef.graph.reshape import CannotTake, reshaped
from netdef.ir import Blob, Dim, Graph, Node, Shape


def random_values(graph: Graph, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A value for every input, by blob id: whole numbers in range for labels, indices and marks, else N(0, 1).

    Where a logarithm or a power is taken at once, 0.1 to 1.1.

    Raises:
        NetdefError: ND0030, a size is not known.
    """
    require_sizes(graph)
    return {blob.id: _values(graph, blob, generator, dtype) for blob in graph.inputs}


def require_sizes(graph: Graph) -> None:
    """Refuse a net without layers (ND0906), or whose inputs have sizes that nobody told (ND0030)."""
    demand_layers(graph)
    open_ = [blob for blob in graph.inputs if not blob.shape.known]
    help = "its database would tell; where that is not there: --shape " + " --shape ".join(map(_example, open_))
    if open_:
        names = ", ".join(f'"{blob.name}" ({blob.shape})' for blob in open_)
        raise NetdefError([error("ND0030", f"the size of {names} is not known", help=help)])


def with_batch(graph: Graph, batch: int) -> Graph:
    """The same net on at most `batch` rows; unchanged where a layer, or a parameter, insists on its number of rows."""
    rows = next((blob.shape[0] for blob in graph.inputs if blob.shape.known and blob.shape.rank), None)
    if rows is None or rows <= batch:
        return graph
    shapes = {b.id: _rows(b.shape, rows, batch) for b in graph.inputs}
    try:
        return reshaped(graph, shapes)
    except CannotTake:
        return graph


def _rows(shape: Shape, rows: int, batch: int) -> Shape:
    return shape.replace(0, batch) if shape.known and shape.rank and shape[0] == rows else shape


def _example(blob: Blob) -> str:
    sizes = blob.shape.sizes if blob.shape.ranked else (None,) * 4
    usual = (64, 3, 224, 224)
    return f"{blob.name}=" + "x".join(str(size or usual[min(axis, 3)]) for axis, size in enumerate(sizes))


def _values(graph: Graph, blob: Blob, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    sizes = blob.shape.known_sizes()
    if any(_wants_positive(node, index) for node, index in readers(graph, blob)):
        return 0.1 + torch.rand(sizes, generator=generator, dtype=dtype)
    limits = (_limit(node, index) for node, index in readers(graph, blob))
    limit = min((limit for limit in limits if limit is not None), default=None)
    if limit is None:
        return torch.randn(sizes, generator=generator, dtype=dtype)
    values = torch.randint(max(limit, 1), sizes, generator=generator).to(dtype)
    if any(_is_mark(node, index) for node, index in readers(graph, blob)):
        values[0] = 0  # every sequence begins in the first step
    return values


def _limit(node: Node, index: int) -> Dim:
    """How many whole values a reader allows; None where any number will do."""
    layer: Any = node.layer  # each type has its own fields
    shape = node.bottoms[0].shape
    if node.type in ("SoftmaxWithLoss", "InfogainLoss", "Accuracy") and index == 1:
        return shape[layer.axis]
    if node.type in ("HingeLoss", "MultinomialLogisticLoss") and index == 1:
        return shape.count(1)
    if node.type == "Embed":
        return int(layer.input_dim)
    if node.type == "BatchReindex" and index == 1:
        return shape[0]
    binary = ("SigmoidCrossEntropyLoss", 1), ("ContrastiveLoss", 2), ("Filter", len(node.bottoms) - 1)
    return 2 if (node.type, index) in binary or _is_mark(node, index) else None


def _wants_positive(node: Node, index: int) -> bool:
    """Whether the layer takes a logarithm or a root of this bottom: of numbers below 0 there is none."""
    return (node.type, index) in (("MultinomialLogisticLoss", 0), ("Log", 0), ("Power", 0))


def _is_mark(node: Node, index: int) -> bool:
    """Whether this bottom says where a sequence goes on: 0 begins one, 1 continues it."""
    return node.type in ("LSTM", "RNN") and index == 1
