"""How are weights read from and written to Caffe's HDF5, with nothing reached outside the file?

Layout (Caffe: Net::ToHDF5, src/caffe/net.cpp): group `/data`, in it a group for each layer, also for one
without parameters, in that a float dataset "0", "1", … for each blob; gradients likewise in `/diff`. A
shared weight is with its owner alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from mmap import mmap
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from netdef.files import PathLike, replacing
from netdef.weights.blob import MAX_AXES, shape_text
from netdef.weights.faults import Damaged, blob_place, inside, reported
from netdef.weights.model import LayerWeights, Weights, is_index
from netdef.weights.narrow import Floats, to_float32

# A ResNet-1001 has some 9,000 groups and datasets; hard links can make a small file look as large as they like.
_MAX_NODES = 30_000
_MAX_DEPTH = 16
# What all datasets together may take. Caffe compresses nothing, and trained weights hardly shrink.
_FREE_BYTES, _MAX_GROWTH = 64 << 20, 32

_OTHER_NAME = "give the layer another name, or write .caffemodel"


class Reader:
    """Reads datasets of one file, each once, within what its size makes believable."""

    __slots__ = ("_bytes_left", "_data", "_nodes_left", "_seen", "root")

    def __init__(self, root: h5py.File, data: mmap) -> None:
        self.root = root
        self._data = data
        self._bytes_left = max(_FREE_BYTES, _MAX_GROWTH * len(data))
        self._nodes_left = _MAX_NODES
        self._seen: dict[int, Floats] = {}

    def open(self, group: h5py.Group, name: str, depth: int = 0) -> Any:
        """The group or dataset `name` in `group`, by hard and soft links of this file alone."""
        self._nodes_left -= 1
        if self._nodes_left < 0:
            raise Damaged(f"more than {_MAX_NODES:,} groups and datasets", code="ND0608")
        place = f"{group.name.rstrip('/')}/{name}"
        if depth > _MAX_DEPTH:
            raise Damaged(f'links without end at "{place}"', code="ND0608")
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise Damaged(f'"{place}" links to another file, "{link.filename}"', code="ND0605")
        if not isinstance(link, h5py.SoftLink):
            return group[name]
        found: Any = self.root if link.path.startswith("/") else group
        for part in filter(None, link.path.split("/")):
            if not isinstance(found, h5py.Group):
                raise Damaged(f'"{place}" links to nowhere, "{link.path}"', code="ND0605")
            found = self.open(found, part, depth + 1)
        return found

    def floats(self, dataset: h5py.Dataset) -> Floats:
        """A numeric dataset as float32; one with several names is read once.

        A plain one of single precision, as Caffe writes them, is a read-only view on the file.
        """
        address = h5py.h5o.get_info(dataset.id).addr
        if address not in self._seen:
            _check(dataset)
            self._seen[address] = self._view(dataset) if _is_plain(dataset) else self._copy(dataset)
        return self._seen[address]

    def _view(self, dataset: h5py.Dataset) -> Floats:
        start, count = dataset.id.get_offset(), prod(dataset.shape)
        stored = dataset.id.get_storage_size()
        if stored != 4 * count:
            message = f"the shape {shape_text(dataset.shape)} wants {4 * count:,} bytes, and {stored:,} are stored"
            raise Damaged(message, offset=start, code="ND0604")
        if start + 4 * count > len(self._data):
            raise Damaged(f"its {4 * count:,} bytes go past the end of the file", offset=start)
        return np.frombuffer(self._data, "<f4", count, start).reshape(dataset.shape)

    def _copy(self, dataset: h5py.Dataset) -> Floats:
        # Of compressed chunks the library unpacks whole ones, and a chunk may be far larger than its dataset.
        chunk = prod(dataset.chunks or ()) * dataset.dtype.itemsize
        size = prod(dataset.shape) * max(4, dataset.dtype.itemsize)
        self._bytes_left -= size
        if min(self._bytes_left, self._bytes_left + size - chunk) < 0:
            chunks = f" in chunks {shape_text(dataset.chunks)}" if dataset.chunks else ""
            message = f"the shape {shape_text(dataset.shape)}{chunks} is out of proportion to the file's size"
            raise Damaged(message, code="ND0608")
        if _is_unwritten(dataset):
            raise Damaged("its numbers, or a part of them, were never written", code="ND0605")
        return to_float32(np.asarray(dataset[()]))


@contextmanager
def opened(path: str, data: mmap) -> Iterator[Reader]:
    """A reader of the HDF5 file at `path`, whose bytes are `data`.

    Whatever the library objects to in the block becomes Damaged.
    """
    try:
        with h5py.File(path, "r") as root:
            yield Reader(root, data)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as fault:
        raise Damaged(f"HDF5: {_first_line(fault)}") from fault


def read(path: str, data: mmap) -> Weights:
    """The weights in `/data`, layers in the order of their names (the order that HDF5 keeps)."""
    with opened(path, data) as reader:
        top = reader.open(reader.root, "data")
        if not isinstance(top, h5py.Group):
            raise Damaged("/data is not a group", code="ND0605")
        layers = tuple(_layers(reader, top, "", {h5py.h5o.get_info(top.id).addr}))
    return Weights(path, "hdf5", layers)


def write_hdf5(path: PathLike, layers: Iterable[LayerWeights]) -> None:
    """Write `layers` as Caffe's HDF5, whole or not at all.

    A blob goes under its index: its place, or its key where that is one, so that a layer whose first weight
    is shared and stored elsewhere is LayerWeights(…, keys=("1",)). Of two layers with one name the later that has
    blobs is written. Errors: ND0601 where the system refuses, ND0616 where a name cannot be a group's.
    """
    with reported(path), replacing(path) as stream, h5py.File(stream, "w") as root:
        root.create_group("data")
        for layer in layers:
            indices = layer.blob_keys if layer.keys_are_indices else tuple(map(str, range(len(layer.blobs))))
            _write_group(root, "data", layer.name, dict(zip(indices, layer.blobs, strict=True)))
            diffs = zip(indices, layer.diffs, strict=True) if layer.diffs else ()
            stored = {index: diff for index, diff in diffs if diff is not None}
            if stored:
                _write_group(root, "diff", layer.name, stored)


def numbered(group: h5py.Group) -> list[str]:
    """The names in `group` that are numbers, in their order."""
    return sorted(filter(is_index, group), key=int)


def _write_group(root: h5py.File, top: str, name: str, blobs: Mapping[str, Floats]) -> None:
    if not _is_path(name):
        if not blobs:
            return
        raise Damaged(f'a layer named "{name}" has no place in HDF5', code="ND0616", help=_OTHER_NAME)
    try:
        group = root.require_group(f"{top}/{name}")
        for index in numbered(group) if blobs else ():
            if isinstance(group[index], h5py.Dataset):
                del group[index]
        for index, data in blobs.items():
            group.create_dataset(index, data=np.asarray(data, "<f4"))
    except (TypeError, ValueError) as fault:
        message = f'the layer "{name}" would lie in HDF5 where another has its numbers'
        raise Damaged(message, code="ND0616", help=_OTHER_NAME) from fault


def _is_path(name: str) -> bool:
    """Whether a layer's name can be looked up again: HDF5 takes slashes for steps, and "." for no step."""
    return "\0" not in name and all(part not in ("", ".") for part in name.split("/"))


def _layers(reader: Reader, group: h5py.Group, name: str, seen: set[int], depth: int = 0) -> Iterator[LayerWeights]:
    """The layer of `group`, and those in groups below it: a layer's name may hold slashes.

    Each group has one name: with links to the same ones a small file would be as large as it likes.
    """
    found = {key: reader.open(group, key) for key in group}
    groups = {key: node for key, node in found.items() if isinstance(node, h5py.Group)}
    blobs = {key: found[key] for key in numbered(group) if isinstance(found[key], h5py.Dataset)}
    if name and (blobs or not groups):
        yield _layer(reader, name, blobs)
    for key, node in groups.items():
        address = h5py.h5o.get_info(node.id).addr
        if address in seen:
            raise Damaged(f'the group "{node.name}" has another name already', code="ND0608")
        if depth > _MAX_DEPTH:
            raise Damaged(f'the group "{node.name}" lies too deep', code="ND0608")
        seen.add(address)
        yield from _layers(reader, node, f"{name}/{key}" if name else key, seen, depth + 1)


def _layer(reader: Reader, name: str, blobs: Mapping[str, h5py.Dataset]) -> LayerWeights:
    arrays: list[Floats] = []
    for key, dataset in blobs.items():
        with inside(blob_place(name, key)):
            arrays.append(reader.floats(dataset))
    return LayerWeights(name, "", tuple(arrays), keys=tuple(blobs))


def _check(dataset: h5py.Dataset) -> None:
    if dataset.is_virtual or dataset.external:
        raise Damaged("its numbers are in another file", code="ND0605")
    if dataset.shape is None or len(dataset.shape) > MAX_AXES or dataset.dtype.kind not in "fiu":
        raise Damaged(f"a dataset of {dataset.dtype} and shape {dataset.shape} is no blob", code="ND0605")


def _is_unwritten(dataset: h5py.Dataset) -> bool:
    """Whether numbers were never stored: the library would make zeros of them."""
    if not dataset.size:
        return False
    if dataset.chunks is None:
        return bool(dataset.id.get_storage_size() == 0)
    pairs = zip(dataset.shape, dataset.chunks, strict=True)
    return bool(dataset.id.get_num_chunks() < prod(-(-size // step) for size, step in pairs))


def _is_plain(dataset: h5py.Dataset) -> bool:
    """Whether the numbers stand in the file one after the other, in single precision."""
    return dataset.dtype == np.dtype("<f4") and dataset.chunks is None and dataset.id.get_offset() is not None


def _first_line(fault: Exception) -> str:
    return str(fault.args[0] if fault.args else fault).strip("'\"").splitlines()[0]
