"""How does Caffe's BlobProto become an array, and an array a BlobProto?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netdef.schema.weights_pb2 import BlobProto, BlobShape
from netdef.weights.faults import Damaged
from netdef.weights.narrow import Floats
from netdef.weights.wire import FIXED32, FIXED64, VARINT, Field, Wire, header

MAX_AXES = 32  # Caffe's kMaxBlobAxes (include/caffe/blob.hpp)
_OLD_AXES = (
    BlobProto.NUM_FIELD_NUMBER,
    BlobProto.CHANNELS_FIELD_NUMBER,
    BlobProto.HEIGHT_FIELD_NUMBER,
    BlobProto.WIDTH_FIELD_NUMBER,
)


class StoredBlob(NamedTuple):
    """An array of a file, and whether its shape is the four old axes (num, channels, height, width)."""

    data: Floats
    legacy: bool


def decode(wire: Wire, fields: Iterator[Field], offset: int) -> StoredBlob:
    """The blob whose fields are `fields`; `offset` is its first byte, for messages.

    `double_data` counts before `data`, and the four old axes before `shape`, as in Caffe's Blob::FromProto.
    Gradients (`diff`) and fields of forks are skipped. The data is a read-only view on the file where it
    can be.
    """
    axes: dict[int, int] = {}
    dims: list[int] = []
    singles: list[Floats] = []
    doubles: list[Floats] = []
    for field in fields:
        if field.number in _OLD_AXES:
            axes[field.number] = _axis(field)
        elif field.number == BlobProto.SHAPE_FIELD_NUMBER:
            dims += _dims(wire, field)
        elif field.number == BlobProto.DATA_FIELD_NUMBER:
            singles.append(wire.floats(field, FIXED32))
        elif field.number == BlobProto.DOUBLE_DATA_FIELD_NUMBER:
            doubles.append(wire.floats(field, FIXED64))
    shape = tuple(axes.get(number, 0) for number in _OLD_AXES) if axes else tuple(dims)
    values = _joined(doubles) if any(part.size for part in doubles) else _joined(singles)
    return StoredBlob(shaped(values, shape, offset), bool(axes))


def shaped(values: Floats, shape: Sequence[int], offset: int | None = None) -> Floats:
    """`values` in `shape`; Damaged when the sizes and the count of values disagree."""
    text = shape_text(shape)
    if len(shape) > MAX_AXES:
        raise Damaged(f"{len(shape)} axes, and at most {MAX_AXES} can be", offset=offset, code="ND0604")
    if any(size < 0 for size in shape):
        raise Damaged(f"the shape {text} has a negative size", offset=offset, code="ND0604")
    if prod(shape) != values.size:
        message = f"the shape {text} wants {prod(shape):,} numbers, and {values.size:,} are stored"
        raise Damaged(message, offset=offset, code="ND0604")
    return values.reshape(shape)


def shape_text(shape: Sequence[int]) -> str:
    """A shape as messages show it, like 20x1x5x5; one number without axes is a scalar."""
    if len(shape) > MAX_AXES:
        return "x".join(map(str, shape[:MAX_AXES])) + "x…"
    return "x".join(map(str, shape)) or "scalar"


def encode(data: Floats, diff: Floats | None = None) -> list[bytes | memoryview]:
    """A BlobProto as pieces to be written one after the other, fields in the order of their numbers."""
    dims = BlobShape(dim=data.shape).SerializeToString()
    pieces = [*packed(BlobProto.DATA_FIELD_NUMBER, data)]
    if diff is not None:
        pieces += packed(BlobProto.DIFF_FIELD_NUMBER, diff)
    return [*pieces, header(BlobProto.SHAPE_FIELD_NUMBER, len(dims)), dims]


def size_bytes(pieces: Sequence[bytes | memoryview]) -> int:
    """How many bytes the pieces have together."""
    return sum(piece.nbytes if isinstance(piece, memoryview) else len(piece) for piece in pieces)


def packed(number: int, data: Floats) -> list[bytes | memoryview]:
    """Field `number` with the numbers of `data`; nothing for no number."""
    values = raw(np.asarray(data, "<f4"))
    return [header(number, values.nbytes), values] if values.nbytes else []


def raw(data: NDArray[Any]) -> memoryview:
    """The bytes of an array in row-major order, without a copy where it is stored so."""
    flat = np.asarray(data, order="C").reshape(-1)
    return flat.view(np.uint8).data if flat.size else memoryview(b"")


def _axis(field: Field) -> int:
    if field.kind != VARINT:
        raise Damaged(f"field {field.number} of a blob should be a size", offset=field.start)
    return field.value - (1 << 64) if field.value >> 63 else field.value


def _dims(wire: Wire, shape: Field) -> list[int]:
    dims: list[int] = []
    for field in wire.message(shape):
        if field.number == BlobShape.DIM_FIELD_NUMBER:
            dims += wire.integers(field, MAX_AXES + 1)
            if len(dims) > MAX_AXES:
                raise Damaged(f"a shape of more than {MAX_AXES} axes", offset=field.start, code="ND0604")
    return dims


def _joined(parts: list[Floats]) -> Floats:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
