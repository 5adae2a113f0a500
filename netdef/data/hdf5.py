"""How are batches read from HDF5 files, as by Caffe's HDF5Data layer?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np

from netdef.data.batch import Floats, Top
from netdef.data.faults import BadData
from netdef.data.lists import read_file_list
from netdef.data.order import Order
from netdef.data.paths import find, locate, missing
from netdef.data.reader import Ticket, Work
from netdef.layers.data import HDF5Data

FILES, ROWS = range(2)
"""Which order is drawn: that of the files in a round, or that of the rows in a file."""


@dataclass(frozen=True, slots=True)
class File:
    """An HDF5 file: its rows, and the sizes of one row of each data set."""

    path: Path
    rows: int
    shapes: tuple[tuple[int, ...], ...]


class Hdf5Reader:
    """Rows of the files of a list; each top is the data set of its name. Source: Caffe's hdf5_data_layer.cpp.

    With `shuffle`, the files of a round and the rows of a file come in random order. One file is in memory at a time.
    """

    def __init__(self, layer: HDF5Data, files: tuple[File, ...]) -> None:
        self.batch_size, self.epoch_size = layer.batch_size, sum(file.rows for file in files)
        self._layer, self._files = layer, files
        self._order = Order(len(files), layer.shuffle)
        self._row_orders = [Order(file.rows, layer.shuffle) for file in files]
        self._loaded: tuple[int, tuple[Floats, ...]] = (-1, ())

    @classmethod
    def open(cls, layer: HDF5Data, base_dir: Path | None) -> Hdf5Reader:
        """Read the list and the sizes in every file."""
        return cls(layer, describe_files(layer, base_dir))

    def fetch(self, ticket: Ticket) -> Work:
        """Copy the rows; no work is left then."""
        rows = ticket.shard.rows(self.batch_size)
        place = ticket.number * self.batch_size + rows.start
        end, parts = place + len(rows), []
        while place < end:
            part = self._read(ticket, place, end - place)
            place += len(part[0])
            parts.append(part)
        return partial(_join, parts)

    def close(self) -> None:
        """Let the file in memory go."""
        self._loaded = (-1, ())

    def _read(self, ticket: Ticket, place: int, limit: int) -> tuple[Floats, ...]:
        """Rows from `place` of the endless sequence to the end of their file, at most `limit`."""
        epoch, row = divmod(place, self.epoch_size)
        for index in self._order.round(ticket, epoch, FILES):
            if row < self._files[index].rows:
                break
            row -= self._files[index].rows
        else:
            raise AssertionError("a round is as long as its files")
        chosen = self._row_orders[index].round(ticket, epoch, ROWS, int(index))[row : row + limit]
        return tuple(values[chosen] for values in self._load(int(index)))

    def _load(self, index: int) -> tuple[Floats, ...]:
        if self._loaded[0] != index:
            self._loaded = (-1, ())
            self._loaded = (index, load(self._files[index].path, self._layer.datasets))
        return self._loaded[1]


def describe_files(layer: HDF5Data, base_dir: Path | None) -> tuple[File, ...]:
    """Sizes of all files of the list; BadData ND0542 where rows of two files differ, ND0504 where there are none."""
    source = locate(layer.source, base_dir, "HDF5 list")
    files = tuple(describe(_find(name, base_dir, source), layer.datasets) for name in read_file_list(source))
    for file in files:
        if file.shapes != files[0].shapes:
            raise BadData("ND0542", f"{file.path}: rows of {_all(file)}, and {files[0].path} has {_all(files[0])}")
    return files


def describe(path: Path, datasets: tuple[str, ...]) -> File:
    """Rows and sizes of the data sets in a file.

    BadData: ND0540 no HDF5 file, ND0541 a data set is missing, ND0542 their numbers of rows differ, ND0543 not numbers.
    """
    with _open(path) as file:
        sets = [_dataset(file, name, path) for name in datasets]
        counts = {name: values.shape[0] for name, values in zip(datasets, sets, strict=True)}
        if len(set(counts.values())) > 1:
            raise BadData("ND0542", f"{path}: " + ", ".join(f'"{name}" has {n} rows' for name, n in counts.items()))
        if not counts[datasets[0]]:
            raise BadData("ND0504", f"{path}: no rows")
        return File(path, counts[datasets[0]], tuple(tuple(values.shape[1:]) for values in sets))


def load(path: Path, datasets: tuple[str, ...]) -> tuple[Floats, ...]:
    """All rows of the data sets, as float32."""
    with _open(path) as file:
        sets = [_dataset(file, name, path) for name in datasets]
        _check_memory(path, sum(max(4, values.dtype.itemsize) * values.size for values in sets))
        try:
            return tuple(np.asarray(values[()], np.float32) for values in sets)
        except OSError as fault:
            raise BadData("ND0540", f"{path}: damaged HDF5 file: {fault}") from fault


def _check_memory(path: Path, needed: int) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else needed
    if needed > memory:
        help = "split it into several files and list them all; one is in memory at a time"
        message = f"{path}: {needed:,} bytes to load, and {memory:,} bytes of memory"
        raise BadData("ND0544", message, help=help, failed=True)


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as fault:
        raise BadData("ND0540", f"{path}: not a readable HDF5 file: {fault}") from fault


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    values = file.get(name)
    if not isinstance(values, h5py.Dataset):
        known = ", ".join(f'"{key}"' for key in list(file)[:8]) or "none"
        raise BadData("ND0541", f'{path}: no data set "{name}", which a top asks for; the file has {known}')
    if values.dtype.kind not in "fiub" or not values.shape:
        raise BadData("ND0543", f'{path}: "{name}" is {values.dtype}, {values.ndim}-d; a top needs rows of numbers')
    return values


def _find(name: str, base_dir: Path | None, source: Path) -> Path:
    """As any file, then beside the list itself."""
    found = find(name, base_dir) or find(name, source.parent)
    if found is None:
        raise missing(name, base_dir, f"{source}: the HDF5 file")
    return found


def _join(parts: list[tuple[Floats, ...]]) -> tuple[Top, ...]:
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _all(file: File) -> str:
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in file.shapes)
