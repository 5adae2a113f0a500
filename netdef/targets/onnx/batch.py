"""Which sizes of a graph vary with the batch and the size of the images, and what are the fixed ones?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.graph.batch import PROBES, Batch, batch_of
from netdef.graph.reshape import CannotTake, reshape, with_shapes
from netdef.ir import Blob, Graph, Shape

_GROWTHS = ((293, 165), (320, 192))
"""By how many pixels, in height and width, images are made larger to see which sizes depend on them: far enough for any
stride; odd where the net takes that, else multiples of 64, which nets with a way down and up again insist on."""

SMALL_GROWTHS = ((37, 21), (64, 32))
"""The same for trial runs, where pixels cost time."""

Growth = tuple[int, int]


def sizes(graph: Graph, batch: int | None, *, any_size: bool = False) -> dict[str, Shape]:
    """The shape of every blob, by id, at that batch size; None stands for any, and leaves a None in the shapes.

    With `any_size`, height and width of the images are free as well.

    Raises:
        NetdefError: an input has an unknown size beside its batch (ND0904), a layer fixes the batch (ND0905) or the
            size of the images (ND0919).
    """
    found = batch_of(graph)
    _require_known(graph, found)
    batches = PROBES if batch is None else (batch,)
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
            _infer(graph, found, PROBES[0], free=True, grow=growth)
        except NetdefError:
            continue
        return growth
    _infer(graph, found, PROBES[0], free=True, grow=last)
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
    first, second = (_infer(graph, found, probe, free=True) for probe in PROBES)
    pairs = {id: list(zip(first[id].dims or (), second[id].dims or (), strict=False)) for id in first}
    return {id: dims.index(PROBES) for id, dims in pairs.items() if dims.count(PROBES) == 1}


def _infer(graph: Graph, found: Batch, batch: int, *, free: bool, grow: Growth | None = None) -> dict[str, Shape]:
    try:
        return reshape(graph.nodes, _inputs(graph, found, batch, grow))
    except CannotTake as refusal:
        wanted = None if free else batch
        raise NetdefError([_fixed_size(refusal) if grow else _fixed(refusal, found.size, wanted)]) from refusal


def _inputs(graph: Graph, found: Batch, batch: int, grow: Growth | None) -> dict[str, Shape]:
    """The inputs' shapes at that batch size, those of images larger by `grow`."""
    shapes = {blob.id: found.resized(blob, batch) for blob in graph.inputs}
    if grow:
        shapes |= {blob.id: _larger(shapes[blob.id], grow) for blob in image_inputs(graph)}
    return shapes


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
        if not found.resized(blob, 1).known
    ]
    if unknown:
        raise NetdefError(unknown)


def _require_images(graph: Graph) -> None:
    if not image_inputs(graph):
        names = ", ".join(f"{blob.name} {blob.shape}" for blob in graph.inputs)
        raise NetdefError([error("ND0919", f"the net takes no images whose size could be free, but {names}")])


def _fixed_size(refusal: CannotTake) -> Diagnostic:
    node = refusal.node
    message = f'{node.type} "{node.name}" allows no other size of the images: {refusal.why}'
    help = "leave out `--spatial dynamic`, or see `netdef explain ND0919` for what to put in its place"
    return error("ND0919", message, span=node.places.type or node.places.layer, help=help)


def _form(shape: Shape) -> str:
    """``50xCx224x224``: what is known of a shape, and a letter for what is not."""
    dims = shape.dims or (None,) * 4
    letters = "NCHW" if len(dims) == 4 else "NABDEFGIJKLM"
    return "x".join(letters[i] if size is None else str(size) for i, size in enumerate(dims[: len(letters)]))


def _fixed(refusal: CannotTake, usual: int | None, wanted: int | None) -> Diagnostic:
    node = refusal.node
    if wanted is None:
        message = f'{node.type} "{node.name}" allows no free batch size: {refusal.why}'
    else:
        message = f'{node.type} "{node.name}" does not work with batch size {wanted}: {refusal.why}'
    help = f"pass --batch {usual} to fix the batch size" if usual else "pass --batch N to fix the batch size"
    return error("ND0905", message, span=node.places.type or node.places.layer, help=help)
