"""How are weights read from and written to a .caffemodel, and a mean from a .binaryproto?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from netdef.files import PathLike, replacing
from netdef.schema.weights_pb2 import BlobProto, Layer, NetParameter, V0Layer, V1Layer
from netdef.weights import blob, types
from netdef.weights.faults import Damaged, blob_place, inside, reported
from netdef.weights.model import LayerWeights, Weights
from netdef.weights.narrow import Floats
from netdef.weights.wire import VARINT, Field, Wire, header

CAFFE_LIMIT_BYTES = (1 << 31) - 1  # protobuf's C++ reader counts bytes in an int


def read(path: str, wire: Wire) -> Weights:
    """The weights of a NetParameter: layouts V0, V1 and V2, also mixed.

    Layers come in file order. Everything but names, types and blobs is skipped.
    """
    net_name = ""
    layers: list[LayerWeights] = []
    for field in wire.fields(0, len(wire.data)):
        if field.number == NetParameter.NAME_FIELD_NUMBER:
            net_name = wire.text(field)
        elif field.number == NetParameter.LAYER_FIELD_NUMBER:
            layers.append(_layer(wire, field))
        elif field.number == NetParameter.LAYERS_FIELD_NUMBER:
            layers.append(_old_layer(wire, field))
    return Weights(path, "caffemodel", tuple(layers), net_name)


def read_mean(wire: Wire) -> Floats:
    """The array of a file that is one BlobProto."""
    return blob.decode(wire, wire.fields(0, len(wire.data)), 0).data


def write_caffemodel(path: PathLike, net_name: str, layers: Iterable[LayerWeights]) -> None:
    """Write `layers` as a NetParameter that Caffe reads (layout V2), whole or not at all.

    Each layer is written as it comes, so that `layers` may make its arrays one by one.
    Errors: ND0601 where the system refuses.
    """
    with reported(path), replacing(path) as stream:
        stream.write(NetParameter(name=net_name).SerializeToString())
        for layer in layers:
            head = Layer(name=layer.name, type=layer.type).SerializeToString()
            write_layer(stream, head, layer.blobs, layer.diffs)


def write_mean(path: PathLike, data: Floats) -> None:
    """Write one array as a .binaryproto, in Caffe's four old axes (a mean image is 1xCxHxW).

    Caffe's data transformer reads a mean by its old axes or its shape; other programs know the old axes
    alone.
    """
    num, channels, height, width = four_axes(data.shape)
    axes = BlobProto(num=num, channels=channels, height=height, width=width)
    with reported(path), replacing(path) as stream:
        stream.write(axes.SerializeToString())
        stream.writelines(blob.packed(BlobProto.DATA_FIELD_NUMBER, data))


def four_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape of up to four axes with ones in front, as Caffe stored all shapes before 2014."""
    return (1,) * (4 - len(shape)) + tuple(shape)


def too_large_for_caffe(path: PathLike) -> bool:
    """Whether Caffe's protobuf would refuse the file for its size."""
    return Path(os.fspath(path)).stat().st_size > CAFFE_LIMIT_BYTES


_V2 = (Layer.NAME_FIELD_NUMBER, Layer.TYPE_FIELD_NUMBER, Layer.BLOBS_FIELD_NUMBER)
_V1 = (V1Layer.NAME_FIELD_NUMBER, V1Layer.TYPE_FIELD_NUMBER, V1Layer.BLOBS_FIELD_NUMBER)
_V0 = (V0Layer.NAME_FIELD_NUMBER, V0Layer.TYPE_FIELD_NUMBER, V0Layer.BLOBS_FIELD_NUMBER)
"""The numbers of a layer's fields in each layout: its name, its type, its blobs."""


def _layer(wire: Wire, message: Field) -> LayerWeights:
    return _read_layer(wire, message, _V2, wire.text)


def _old_layer(wire: Wire, message: Field) -> LayerWeights:
    """A layer of layout V1, or of V0, which stands inside one of V1."""
    nested = next((field for field in wire.message(message) if field.number == V1Layer.LAYER_FIELD_NUMBER), None)
    if nested is not None:
        return _read_layer(wire, nested, _V0, lambda field: types.of_word(wire.text(field)))
    return _read_layer(wire, message, _V1, lambda field: types.of_number(_integer(field)))


def _read_layer(
    wire: Wire, message: Field, numbers: tuple[int, int, int], type_of: Callable[[Field], str]
) -> LayerWeights:
    name_number, type_number, blobs_number = numbers
    name = kind = ""
    blobs: list[Field] = []
    for field in wire.message(message):
        if field.number == name_number:
            name = wire.text(field)
        elif field.number == type_number:
            kind = type_of(field)
        elif field.number == blobs_number:
            blobs.append(field)
    return _assembled(wire, name, kind, blobs)


def _assembled(wire: Wire, name: str, kind: str, fields: list[Field]) -> LayerWeights:
    blobs: list[Floats] = []
    legacy: set[int] = set()
    for index, field in enumerate(fields):
        with inside(blob_place(name, index)):
            stored = blob.decode(wire, wire.message(field), field.start)
        blobs.append(stored.data)
        if stored.legacy:
            legacy.add(index)
    return LayerWeights(name, kind, tuple(blobs), legacy=frozenset(legacy))


def _integer(field: Field) -> int:
    if field.kind != VARINT:
        raise Damaged("a layer's type should be a number", offset=field.start)
    return field.value


def write_layer(stream: BinaryIO, head: bytes, arrays: Sequence[Floats], diffs: Sequence[Floats | None] = ()) -> None:
    """Write one layer of a NetParameter: `head` holds its fields other than the arrays, serialised."""
    blobs = [blob.encode(data, diff) for data, diff in zip(arrays, diffs or (None,) * len(arrays), strict=True)]
    sizes = [blob.size_bytes(pieces) for pieces in blobs]
    heads = [header(Layer.BLOBS_FIELD_NUMBER, size) for size in sizes]
    total = len(head) + sum(sizes) + sum(map(len, heads))
    stream.write(header(NetParameter.LAYER_FIELD_NUMBER, total) + head)
    for blob_head, pieces in zip(heads, blobs, strict=True):
        stream.write(blob_head)
        stream.writelines(pieces)
