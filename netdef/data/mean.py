"""How is a mean image read and written (Caffe's .binaryproto)?"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from netdef.data.batch import Floats
from netdef.data.faults import BadData
from netdef.schema.netdef_pb2 import BlobProto


def read_mean(path: Path) -> Floats:
    """The mean image (C, H, W) in a BlobProto file; BadData ND0521 when it is none.

    Source: Caffe's DataTransformer constructor.
    """
    try:
        blob = BlobProto.FromString(path.read_bytes())
    except OSError as fault:
        raise _bad(path, f"cannot read the mean file: {fault.strerror}") from fault
    except DecodeError as fault:
        raise _bad(path, "no BlobProto file") from fault
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    values = np.array(blob.data or blob.double_data, np.float32)
    if len(shape) < 3 or math.prod(shape[:-3]) != 1 or math.prod(shape) != len(values) or not len(values):
        sizes = "x".join(map(str, shape)) or "no sizes"
        found = f"this file says {sizes} and holds {len(values):,} values"
        raise _bad(path, f"a mean image is 1xCxHxW; {found}")
    return values.reshape(shape[-3:])


def _bad(path: Path, what: str) -> BadData:
    return BadData("ND0521", f"{path}: {what}", field="mean_file")


def encode_mean(mean: Floats) -> bytes:
    """A mean image (C, H, W) as Caffe's compute_image_mean writes it: a BlobProto with the old four sizes."""
    channels, height, width = mean.shape
    blob = BlobProto(num=1, channels=channels, height=height, width=width)
    blob.data.extend(mean.ravel().tolist())
    return blob.SerializeToString(deterministic=True)
