"""How does a model get to the disk, also when it is too large for one protobuf message?"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

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

    A model above the limit loses its large tensors to the data file, in memory too: there may be no room for two.
    Raises OSError as the system gives it.
    """
    if tensor_bytes(model) <= limit:
        write_atomic(path, model.SerializeToString(deterministic=True))
        return (path,)
    data = data_file(path)
    with replacing(data) as stream:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) > _SMALL:
                _move(tensor, stream, data.name)
    write_atomic(path, model.SerializeToString(deterministic=True))
    return (path, data)


def tensor_bytes(model: onnx.ModelProto) -> int:
    """How many bytes the model's own tensors take."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _move(tensor: onnx.TensorProto, stream: BinaryIO, location: str) -> None:
    """Write the tensor's bytes to the stream and leave a reference to them."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entries = {"location": location, "offset": str(stream.tell()), "length": str(len(tensor.raw_data))}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    stream.write(tensor.raw_data)
    tensor.ClearField("raw_data")
