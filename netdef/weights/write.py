"""Which format does a path ask for, and who writes it?"""

from __future__ import annotations

import os
from collections.abc import Iterable

from netdef.diagnostics import Diagnostic, warning
from netdef.files import PathLike
from netdef.weights.caffemodel import CAFFE_LIMIT_BYTES, too_large_for_caffe, write_caffemodel
from netdef.weights.faults import wrong
from netdef.weights.hdf5 import write_hdf5
from netdef.weights.keys import write_safetensors
from netdef.weights.model import LayerWeights

_FORMATS = {".h5": "hdf5", ".hdf5": "hdf5", ".safetensors": "safetensors", ".caffemodel": "caffemodel"}


def format_of(path: PathLike) -> str:
    """The format that the extension of `path` names; ND0616 for any other."""
    name = os.fspath(path)
    for suffix, format in _FORMATS.items():
        if name.lower().endswith(suffix):
            return format
    raise wrong("ND0616", name, "the extension names no weight format", f"use one of {', '.join(_FORMATS)}")


def write_weights(path: PathLike, layers: Iterable[LayerWeights], *, net_name: str = "") -> list[Diagnostic]:
    """Write `layers` in the format of the path's extension, whole or not at all; returns warnings.

    Errors: ND0601 (the system refuses), ND0616 (no such format, or a blob is missing in the middle of a
    layer).
    """
    match format_of(path):
        case "hdf5":
            write_hdf5(path, layers)
        case "safetensors":
            write_safetensors(path, layers, net_name=net_name)
        case _:
            kept = tuple(layers)
            _demand_no_gap(path, kept)
            write_caffemodel(path, net_name, kept)
            if too_large_for_caffe(path):
                message = f"{os.fspath(path)}: more than the {CAFFE_LIMIT_BYTES:,} bytes that Caffe can read"
                return [warning("ND0617", message, help="write .caffemodel.h5 for Caffe")]
    return []


def _demand_no_gap(path: PathLike, layers: Iterable[LayerWeights]) -> None:
    for layer in layers:
        if layer.has_gap:
            held = ", ".join(layer.blob_keys)
            message = f'layer "{layer.name}" has blobs {held} alone: the others are shared'
            raise wrong("ND0616", path, message, "load the weights into their net and snapshot from there")
