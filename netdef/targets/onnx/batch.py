"""Which sizes of a graph change with the batch and with the size of the images, and what are the others?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.graph.reshape import with_shapes
from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers import Mismatch
from netdef.layers.recurrent import Recurrent

_PROBES = (7, 11)
"""Two batch sizes to infer with: a size that differs between them depends on the batch. Primes, so that no layer
that needs a divisible batch gets through by luck."""


_GROWTHS = ((293, 165), (320, 192))
"""By how many pixels, in height and width, images are made larger to see which sizes depend on them: far enough for any
stride; odd where the net takes that, else multiples of 64, which nets with a way down and up again insist on."""

SMALL_GROWTHS = ((37, 21), (64, 32))
"""The same for trial runs, where pixels cost time."""

Growth = tuple[int, int]

_TIME_MAJOR = {"LSTM": 1, "RNN": 1, "LSTMUnit": 0}
"""Layers that take (time, batch, …), with the bottom that tells both sizes: Caffe's `cont`, or the cell's state."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Caffe's batch size, None where only a run tells it, and the axis it stands on in each input that has it."""

    size: int | None
    axes: Mapping[str, int]


def batch_of(graph: Graph) -> Batch:
    """Find the batch axis of each input.

    It is axis 0 of the first input, and of every other one with as many rows: a second input may be something else,
    factors for each channel or a list of boxes. In a recurrent net it is axis 1 of what begins as (time, batch), but
    for the static input, which has no time.
    """
    shapes = {blob.id: blob.shape for blob in graph.inputs if blob.shape.dims}
    time = next((node.bottoms[_TIME_MAJOR[node.type]].shape for node in graph.nodes if node.type in _TIME_MAJOR), None)
    major = time.dims[:2] if time and time.dims else ()
    size = major[1] if len(major) == 2 else next((shape[0] for shape in shapes.values()), None)
    begins = (major, (1, size)) if len(major) == 2 else ()  # (1, batch, …) is a state of one moment
    static = {node.bottoms[2].id for node in graph.nodes if isinstance(node.layer, Recurrent) and node.layer.static}
    axes = {id: 1 for id, shape in shapes.items() if shape.sizes[:2] in begins and id not in static}
    rows = {id: 0 for id, shape in shapes.items() if id not in axes and shape[0] in (size, None)}
    return Batch(size, {**axes, **rows})


def sizes(graph: Graph, batch: int | None, *, any_size: bool = False) -> dict[str, Shape]:
    """The shape of every blob, by id, at that batch size; None stands for any, and leaves a None in the shapes.

    With `any_size`, height and width of the images are free as well.

    Raises:
        NetdefError: an input has an unknown size beside its batch (ND0904), a layer fixes the batch (ND0905) or the
            size of the images (ND0919).
    """
    found = batch_of(graph)
    _require_known(graph, found)
    batches = _PROBES if batch is None else (batch,)
    probed = [_infer(graph, found, probe, free=batch is None) for probe in batches]
    if any_size:
        _require_images(graph)
        probed += [_infer(graph, found, batches[0], free=batch is None, grow=growth_of(graph, _GROWTHS))]
    return {id: reduce(_common, (shapes[id] for shapes in probed)) for id in probed[0]}


def growth_of(graph: Graph, growths: Sequence[Growth]) -> Growth:
    """The first of the growths of its images that a net takes; NetdefError ND0919 of the last one if it takes none."""
    found = batch_of(graph)
    *most, last = growths
    for growth in most:
        try:
            _infer(graph, found, _PROBES[0], free=True, grow=growth)
        except NetdefError:
            continue
        return growth
    _infer(graph, found, _PROBES[0], free=True, grow=last)
    return last


def grown(graph: Graph, growth: Growth) -> Graph:
    """The same net for images that are so much larger; its parameters are the same."""
    found = batch_of(graph)
    return with_shapes(graph, _infer(graph, found, found.size or 1, free=True, grow=growth))


def image_inputs(graph: Graph) -> tuple[Blob, ...]:
    """The inputs with the height and width of the first one that has four axes: what `any_size` sets free."""
    planes = [blob for blob in graph.inputs if blob.shape.ranked and blob.shape.rank == 4]
    return tuple(blob for blob in planes if blob.shape.sizes[2:] == planes[0].shape.sizes[2:])


def batch_axes(graph: Graph) -> dict[str, int]:
    """The axis of each blob, by id, that is the batch itself and not some multiple of it, where there is one."""
    found = batch_of(graph)
    first, second = (_infer(graph, found, probe, free=True) for probe in _PROBES)
    pairs = {id: list(zip(first[id].dims or (), second[id].dims or (), strict=False)) for id in first}
    return {id: dims.index(_PROBES) for id, dims in pairs.items() if dims.count(_PROBES) == 1}


def _infer(graph: Graph, found: Batch, batch: int, *, free: bool, grow: Growth | None = None) -> dict[str, Shape]:
    planes = image_inputs(graph) if grow else ()
    shapes: dict[str, Shape] = {}
    inputs = {blob.id for blob in graph.inputs}
    for node in graph.nodes:
        if not node.bottoms and node.tops and node.tops[0].id in inputs:
            shapes.update((blob.id, _resize(blob, found, batch)) for blob in node.tops)
            shapes.update((blob.id, _larger(shapes[blob.id], grow)) for blob in node.tops if grow and blob in planes)
            continue
        try:
            tops = _tops(node, tuple(shapes[blob.id] for blob in node.bottoms))
        except Mismatch as mismatch:
            refusal = (
                _fixed_size(node, mismatch) if grow else _fixed(node, mismatch, found.size, None if free else batch)
            )
            raise NetdefError([refusal]) from mismatch
        shapes.update((blob.id, shape) for blob, shape in zip(node.tops, tops, strict=True))
    return shapes


def _tops(node: Node, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """The shape rule's answer, if the parameters keep their shapes; Mismatch otherwise."""
    tops = node.layer.infer(bottoms)
    stored = node.layer.params(tuple(blob.shape for blob in node.bottoms))
    for spec, now in zip(stored, node.layer.params(bottoms), strict=True):
        if spec.shape.known and spec.shape != now.shape:
            raise Mismatch(f"its {spec.name} is {spec.shape}, and would have to be {now.shape}")
    return tops


def _resize(blob: Blob, found: Batch, batch: int) -> Shape:
    axis = found.axes.get(blob.id)
    return blob.shape if axis is None else blob.shape.replace(axis, batch)


def _larger(shape: Shape, growth: Growth) -> Shape:
    height, width = (size and size + more for size, more in zip(shape.sizes[2:], growth, strict=True))
    return shape.replace(2, height).replace(3, width)


def _common(a: Shape, b: Shape) -> Shape:
    """What two shapes agree in; None where they don't."""
    if a.dims is None or b.dims is None or len(a.dims) != len(b.dims):
        return Shape(None)
    return Shape(tuple(x if x == y else None for x, y in zip(a.dims, b.dims, strict=True)))


def _require_known(graph: Graph, found: Batch) -> None:
    unknown = [
        error(
            "ND0904",
            f'the size of input "{blob.id}" is not known: {blob.shape}',
            span=graph.producers[blob.id].places.layer,
            help=f"give it, a number for each letter: --shape {blob.id}={_form(blob.shape)}",
        )
        for blob in graph.inputs
        if not _resize(blob, found, 1).known
    ]
    if unknown:
        raise NetdefError(unknown)


def _require_images(graph: Graph) -> None:
    if not image_inputs(graph):
        names = ", ".join(f"{blob.name} {blob.shape}" for blob in graph.inputs)
        raise NetdefError([error("ND0919", f"the net takes no images whose size could be free, but {names}")])


def _fixed_size(node: Node, mismatch: Mismatch) -> Diagnostic:
    message = f'{node.type} "{node.name}" allows no other size of the images: {mismatch}'
    help = "leave out `--spatial dynamic`, or see `netdef explain ND0919` for what to put in its place"
    return error("ND0919", message, span=node.places.type or node.places.layer, help=help)


def _form(shape: Shape) -> str:
    """``50xCx224x224``: what is known of a shape, and a letter for what is not."""
    dims = shape.dims or (None,) * 4
    letters = "NCHW" if len(dims) == 4 else "NABDEFGIJKLM"
    return "x".join(letters[i] if size is None else str(size) for i, size in enumerate(dims[: len(letters)]))


def _fixed(node: Node, mismatch: Mismatch, usual: int | None, wanted: int | None) -> Diagnostic:
    if wanted is None:
        message = f'{node.type} "{node.name}" allows no free batch size: {mismatch}'
    else:
        message = f'{node.type} "{node.name}" does not work with batch size {wanted}: {mismatch}'
    help = f"pass --batch {usual} to fix the batch size" if usual else "pass --batch N to fix the batch size"
    return error("ND0905", message, span=node.places.type or node.places.layer, help=help)
