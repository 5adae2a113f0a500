"""Which sizes of a graph change with the batch, and what are the others?"""

from __future__ import annotations

from collections.abc import Mapping

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.ir import Graph, Node, Shape
from netdef.layers import Mismatch

_PROBES = (7, 11)
"""Two batch sizes to infer with: a size that differs between them depends on the batch. Primes, so that no layer
that needs a divisible batch gets through by luck."""


def input_batch(graph: Graph) -> int | None:
    """Caffe's batch size: the first axis of the first input; None when it is unknown or there is none."""
    first = next((blob.shape for blob in graph.inputs if blob.shape.dims), None)
    return first[0] if first else None


def sizes(graph: Graph, batch: int | None) -> dict[str, Shape]:
    """The shape of every blob, by id, at that batch size; None stands for any, and leaves a None in the shapes.

    The batch axis is axis 0 of every input that has as many rows as the first one (a second input may be something
    else: per-channel factors, a list of boxes).

    Raises:
        NetdefError: an input has an unknown size beside its batch (ND0904), or a layer fixes the batch (ND0905).
    """
    _require_known(graph)
    if batch is not None:
        return _infer(graph, batch, wanted=batch)
    first, second = (_infer(graph, probe, wanted=None) for probe in _PROBES)
    return {id: _common(first[id], second[id]) for id in first}


def batched(graph: Graph, shapes: Mapping[str, Shape]) -> frozenset[str]:
    """The blobs whose first axis is the batch itself, and not some multiple of it, where it is left open."""
    seven = _infer(graph, _PROBES[0], wanted=None)
    return frozenset(
        id for id, shape in shapes.items() if shape.dims and shape[0] is None and seven[id][0] == _PROBES[0]
    )


def _infer(graph: Graph, batch: int, *, wanted: int | None) -> dict[str, Shape]:
    usual = input_batch(graph)
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        for blob, shape in zip(node.tops, _tops(graph, node, shapes, batch, usual, wanted), strict=True):
            shapes[blob.id] = shape
    return shapes


def _tops(
    graph: Graph, node: Node, shapes: dict[str, Shape], batch: int, usual: int | None, wanted: int | None
) -> tuple[Shape, ...]:
    if not node.bottoms and any(blob in graph.inputs for blob in node.tops):
        return tuple(_resize(blob.shape, batch, usual) for blob in node.tops)
    try:
        return node.layer.infer(tuple(shapes[blob.id] for blob in node.bottoms))
    except Mismatch as mismatch:
        raise NetdefError([_fixed(node, mismatch, usual, wanted)]) from mismatch


def _resize(shape: Shape, batch: int, usual: int | None) -> Shape:
    if not shape.dims or (shape[0] is not None and shape[0] != usual):
        return shape
    return shape.replace(0, batch)


def _common(a: Shape, b: Shape) -> Shape:
    """What two shapes agree in; None where they don't."""
    if a.dims is None or b.dims is None or len(a.dims) != len(b.dims):
        return Shape(None)
    return Shape(tuple(x if x == y else None for x, y in zip(a.dims, b.dims, strict=True)))


def _require_known(graph: Graph) -> None:
    found = [
        error(
            "ND0904",
            f'the size of input "{blob.id}" is not known: {blob.shape}',
            span=graph.producers[blob.id].places.layer,
            help=f"give it: --shape {blob.id}=NxCxHxW",
        )
        for blob in graph.inputs
        if blob.shape.dims is None or None in blob.shape.dims[1:]
    ]
    if found:
        raise NetdefError(found)


def _fixed(node: Node, mismatch: Mismatch, usual: int | None, wanted: int | None) -> Diagnostic:
    if wanted is None:
        message = f'{node.type} "{node.name}" allows no free batch size: {mismatch}'
    else:
        message = f'{node.type} "{node.name}" does not work with batch size {wanted}: {mismatch}'
    help = f"pass --batch {usual} to fix the batch size" if usual else "pass --batch N to fix the batch size"
    return error("ND0905", message, span=node.places.type or node.places.layer, help=help)
