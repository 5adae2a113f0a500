"""Which values can stand in for a net's real inputs in a trial run?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from netdef.graph.readers import readers
from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers.inner_product import Embed

Array = npt.NDArray[Any]

_FLAGS = {"LSTM": 1, "RNN": 1}
"""The bottom with Caffe's sequence marks: 0 begins a sequence, 1 continues it."""


def trial(graph: Graph, shapes: Mapping[str, Shape], batch: int, seed: int) -> dict[str, Array]:
    """Random float32 values for every input, by blob id.

    Whole numbers in range where a layer reads indices or labels, 0 and 1 where it reads marks, normally distributed
    ones elsewhere. `shapes` may leave the batch open.
    """
    generator = np.random.default_rng(seed)
    return {blob.id: _values(graph, blob, _sizes(shapes[blob.id], batch), generator) for blob in graph.inputs}


def _sizes(shape: Shape, batch: int) -> tuple[int, ...]:
    return tuple(batch if size is None else size for size in shape.sizes)


def _values(graph: Graph, blob: Blob, sizes: tuple[int, ...], generator: np.random.Generator) -> Array:
    limit = _limit(graph, blob)
    if limit is None:
        return generator.standard_normal(sizes, np.float32)
    return generator.integers(0, limit, sizes).astype(np.float32)


def _limit(graph: Graph, blob: Blob) -> int | None:
    """The number of whole values that the blob may take; None where any number will do."""
    limits = [_reader_limit(node, index) for node, index in readers(graph, blob)]
    return min((limit for limit in limits if limit is not None), default=None)


def _reader_limit(node: Node, index: int) -> int | None:
    if isinstance(node.layer, Embed):
        return node.layer.input_dim
    if node.type in _FLAGS and index == _FLAGS[node.type]:
        return 2
    if node.type == "BatchReindex" and index == 1:
        return 1
    return 2 if index in node.layer.label_bottoms else None
