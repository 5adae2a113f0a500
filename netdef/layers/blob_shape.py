"""How are the shapes of blobs read that a layer states in its fields?"""

from __future__ import annotations

from typing import TypeVar

from netdef.diagnostics.words import counted
from netdef.ir import UNKNOWN, Shape
from netdef.layers.axes import MAX_COUNT
from netdef.layers.block import Block

_T = TypeVar("_T")
_OLD_SIZES = ("num", "channels", "height", "width")


def decode_shape(block: Block, name: str, index: int = 0) -> Shape:
    """Read a BlobShape field; its sizes must not be negative, nor its number of elements more than an int holds."""
    dims = tuple(block.sub(name, index).message.dim)
    shape = Shape(tuple(max(size, 0) for size in dims))
    if any(size < 0 for size in dims):
        block.reject("ND0478", f"a size cannot be negative: {'x'.join(map(str, dims))}", name, index)
    _check_held(block, shape, name, index)
    return shape


def _check_held(block: Block, shape: Shape, name: str, index: int = 0) -> None:
    if (shape.count() or 0) > MAX_COUNT:
        block.reject("ND0479", f"{shape} has {shape.count()} elements; a blob holds {MAX_COUNT} at most", name, index)


def decode_shapes(block: Block) -> tuple[Shape, ...]:
    """The tops' shapes: `shape`, or the four old fields, of which each is given once for all tops or once for each."""
    old = [name for name in _OLD_SIZES if getattr(block.message, name)]
    if not old:
        shapes = tuple(decode_shape(block, "shape", i) for i in range(len(block.message.shape)))
        _check_number(block, "shape", len(shapes))
        return spread(shapes or (UNKNOWN,), block.num_tops)
    if block.message.shape:
        names = ", ".join(f"`{name}`" for name in old)
        block.reject("ND0477", f"`shape` and {names} exclude each other", old[0], help="keep `shape`")
    columns = [_old_sizes(block, name) for name in _OLD_SIZES]
    shapes = tuple(map(Shape, zip(*columns, strict=True)))
    for shape in shapes:
        _check_held(block, shape, old[0])
    return shapes


def _old_sizes(block: Block, name: str) -> tuple[int, ...]:
    """One size for each top."""
    sizes = tuple(getattr(block.message, name))
    _check_number(block, name, len(sizes))
    return spread(sizes or (1,), block.num_tops)


def _check_number(block: Block, name: str, found: int) -> None:
    if found not in (1, block.num_tops):
        need = "1" if block.num_tops == 1 else f"1 or {block.num_tops}"
        message = f"{counted(block.num_tops, 'top')} need{'s' * (block.num_tops == 1)} {need} `{name}`, found {found}"
        block.reject("ND0477", message, name)


def spread(items: tuple[_T, ...], count: int) -> tuple[_T, ...]:
    """One of the items for each of `count` tops: a single one serves for all."""
    return items * count if len(items) == 1 else (items * count)[:count]
