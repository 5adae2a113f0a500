"""What does a .safetensors file hold, and how is one written?

Layout: eight bytes with the length of a JSON header, the header ({name: {dtype, shape, data_offsets},
"__metadata__": {str: str}}), then the numbers, each tensor's bytes one after the other without a hole.
Source: github.com/huggingface/safetensors, its README. Its own reader copies every tensor and its writer
all of them at once; here arrays are views on the memory-mapped file and are written one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdef.files import PathLike, replacing
from netdef.weights.blob import MAX_AXES, raw
from netdef.weights.faults import Damaged, inside, reported

_HEADER_LIMIT = 100_000_000  # bytes; the format's own limit
# What is read: Python's objects take some thirty times the bytes of their JSON. 100,000 tensors have a header of 8 MB.
_LONGEST_READ = 16 << 20
_METADATA = "__metadata__"
_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "BF16": "<u2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
_NAMES = {np.dtype(text): name for name, text in _DTYPES.items() if name != "BF16"}


@dataclass(frozen=True, slots=True)
class Tensors:
    """The content of a .safetensors file: arrays by name in the order of their bytes, and its metadata."""

    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def looks_like(data: bytes | mmap) -> bool:
    """Whether `data` begins as a .safetensors file does: a believable length, then a JSON object."""
    return len(data) > 8 and data[8:9] == b"{" and _header_size(data) <= _HEADER_LIMIT


def metadata(data: bytes | mmap) -> dict[str, str]:
    """The metadata alone. Raises Damaged (ND0606, ND0608) for a broken header."""
    return _header(data)[1]


def read(data: bytes | mmap) -> Tensors:
    """All tensors as read-only views on `data`; bfloat16 becomes float32, which holds each of its values.

    Raises Damaged (ND0606) when the header does not fit the file.
    """
    entries, about = _header(data)
    start = 8 + _header_size(data)
    arrays: dict[str, NDArray[Any]] = {}
    expected = 0
    for name, (dtype, shape, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        with inside(f'tensor "{name}"'):
            if begin != expected:
                raise _lie(f"its bytes begin at {begin:,} and not at {expected:,}", start + begin)
            arrays[name] = _array(data, dtype, shape, start + begin, start + end)
        expected = end
    if start + expected != len(data):
        raise _lie(f"the tensors take {start + expected:,} bytes and the file has {len(data):,}", len(data))
    return Tensors(arrays, about)


def write(path: PathLike, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write `arrays` under their names, whole or not at all. Errors: ND0601 where the system refuses."""
    wide = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # keeps each aligned
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name, array in wide:
        begin, end = end, end + array.nbytes
        dtype = _NAMES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with reported(path), replacing(path) as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _, array in wide:
            stream.write(raw(array.astype(array.dtype.newbyteorder("<"), copy=False)))


_Entry = tuple[str, list[int], int, int]


def _header_size(data: bytes | mmap) -> int:
    return int.from_bytes(data[:8], "little")


def _header(data: bytes | mmap) -> tuple[dict[str, _Entry], dict[str, str]]:
    size = _header_size(data)
    if size > len(data) - 8:
        raise _lie(f"a header of {size:,} bytes is promised and {len(data) - 8:,} are left", 0)
    if size > _LONGEST_READ:
        raise Damaged(f"a header of {size:,} bytes, and at most {_LONGEST_READ:,} are read", offset=0, code="ND0608")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as fault:
        raise _lie(f"the header is no JSON: {fault}", 8) from fault
    if not isinstance(header, dict):
        raise _lie("the header is no JSON object", 8)
    about = header.pop(_METADATA, {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise _lie("the metadata are no strings by name", 8)
    return {name: _entry(name, entry) for name, entry in header.items()}, about


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    for text in (text for pair in pairs for text in pair if isinstance(text, str)):
        text.encode()  # refuses half of a surrogate pair, which could not be printed
    return found


def _entry(name: str, entry: Any) -> _Entry:
    """The checked entry of one tensor; `Any` because JSON may hold anything there."""
    with inside(f'tensor "{name}"'):
        match entry:
            case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
                pass
            case _:
                raise _lie("its entry lacks dtype, shape or data_offsets, or they are of another kind", 8)
        if len(shape) > MAX_AXES or not all(type(size) is int and size >= 0 for size in shape):
            raise _lie("its shape is no list of up to 32 sizes", 8)
        if dtype not in _DTYPES:
            raise _lie(f"its type {dtype} is none that netdef reads ({', '.join(_DTYPES)})", 8)
        if not 0 <= begin <= end:
            raise _lie(f"its bytes go from {begin:,} to {end:,}", 8)
        return dtype, shape, begin, end


def _array(data: bytes | mmap, name: str, shape: list[int], start: int, end: int) -> NDArray[Any]:
    dtype = np.dtype(_DTYPES[name])
    size = prod(shape) * dtype.itemsize
    if size != end - start:
        raise _lie(f"its shape {shape} takes {size:,} bytes of {name}, and {end - start:,} are given", start)
    if end > len(data):
        raise _lie(f"its bytes end at {end:,} and the file at {len(data):,}", start)
    array = np.frombuffer(data, dtype, prod(shape), start).reshape(shape)
    return (array.astype("<u4") << 16).view("<f4") if name == "BF16" else array


def _lie(message: str, offset: int) -> Damaged:
    return Damaged(message, offset=offset, code="ND0606")
