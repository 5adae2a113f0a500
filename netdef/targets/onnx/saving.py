"""How is a model written to disk, even one that is too large for a single protobuf message?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import onnx

from netdef.files import replacing, write_atomic

EXTERNAL_DATA_LIMIT = 2**31 - 2**20
"""Bytes of tensors above which they go to a file of their own: protobuf refuses messages of 2 GiB, and the nodes
need some room beside them."""

_SMALL = 1024
"""Tensors up to this many bytes stay in the model: shapes and axes must be readable without the data file."""


def data_file(path: Path) -> Path:
    """Where the tensors of a model too large for one file stand: beside it, as ``m.onnx.data``."""
    return path.with_name(path.name + ".data")


def save(model: onnx.ModelProto, path: Path, *, limit: int = EXTERNAL_DATA_LIMIT) -> tuple[Path, ...]:
    """Write the model whole or not at all; returns the files written.

    Of a model above the limit the large tensors go to the data file. No copy of them is made on the way, since there
    may be no room for two. Raises OSError as the system gives it.
    """
    if tensor_bytes(model) <= limit:
        write_atomic(path, model.SerializeToString(deterministic=True))
        return (path,)
    data = data_file(path)
    with replacing(data) as stream:
        light = _without_tensors(model)
        for tensor in model.graph.initializer:
            light.graph.initializer.append(_referred(tensor, stream, data.name))
    write_atomic(path, light.SerializeToString(deterministic=True))
    return (path, data)


def tensor_bytes(model: onnx.ModelProto) -> int:
    """How many bytes the model's own tensors take, names and sizes included; reading `raw_data` would copy it."""
    return sum(tensor.ByteSize() for tensor in model.graph.initializer)


def _without_tensors(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model but for its initializers."""
    light = onnx.ModelProto()
    _copy_fields(model, light, "graph")
    _copy_fields(model.graph, light.graph, "initializer")
    return light


def _copy_fields(message: Any, copy: Any, but: str) -> None:
    for field, value in message.ListFields():
        if field.name == but:
            continue
        if field.is_repeated:
            getattr(copy, field.name).extend(value)
        elif field.message_type:
            getattr(copy, field.name).CopyFrom(value)
        else:
            setattr(copy, field.name, value)


def _referred(tensor: onnx.TensorProto, stream: BinaryIO, location: str) -> onnx.TensorProto:
    """The tensor itself where it is small; else its bytes go to the stream, and what refers to them comes back."""
    if tensor.ByteSize() <= _SMALL or not tensor.HasField("raw_data"):
        return tensor
    copy = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
    copy.name, copy.data_type = tensor.name, tensor.data_type
    copy.dims.extend(tensor.dims)
    start = stream.tell()
    stream.write(tensor.raw_data)
    entries = {"location": location, "offset": str(start), "length": str(stream.tell() - start)}
    for key, value in entries.items():
        copy.external_data.add(key=key, value=value)
    return copy
