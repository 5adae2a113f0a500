"""How are the blobs of many images written to a file: .npz, HDF5, or Caffe's LMDB of Datums?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, permutations
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import h5py  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from netdef.data.faults import BadData
from netdef.data.write import chunks, write_lmdb
from netdef.deploy.predict import Row
from netdef.files import replacing
from netdef.schema.netdef_pb2 import Datum

Array = NDArray[Any]
Found = Iterable[tuple[Path, Row]]
FORMS = (".npz", ".h5", ".hdf5", ".lmdb")
NAMES = "images"
"""The data set with the images' names, beside those of the blobs."""
_ROWS_A_WRITE = 64


def write_features(output: Path, found: Found, blobs: tuple[str, ...]) -> tuple[int, tuple[Path, ...]]:
    """Write each blob with the images as its first axis, whole or not at all; returns how many images, and the files.

    .npz and .h5 hold an array for each blob, by its name, and `images`, the files' names. .lmdb holds a Datum with
    `float_data` for each image, under its number, as Caffe's extract_features does; of several blobs each has a
    database, with its name before the ending.

    BadData: ND0504 no images, ND0580 a database exists, ND0581 the system refused, ND0958 the form cannot hold it.
    """
    _require_names(output, blobs)
    found = iter(found)
    first = next(found, None)
    if first is None:
        raise BadData("ND0504", f"{output}: no image to write features of")
    all_rows = chain([first], found)
    try:
        if output.suffix.lower() == ".lmdb":
            return _write_databases(output, all_rows, blobs)
        write = _write_npz if output.suffix.lower() == ".npz" else _write_h5
        return write(output, _alike(output, all_rows, blobs), blobs), (output,)
    except OSError as fault:
        raise BadData("ND0581", f"{output}: {fault.strerror or fault}", failed=True) from fault


def _require_names(output: Path, blobs: tuple[str, ...]) -> None:
    """Names that can stand beside each other in one file; in HDF5 a ``/`` makes a group."""
    if output.suffix.lower() == ".lmdb":
        return
    names = (NAMES, *blobs)
    clash = [(a, b) for a, b in permutations(names, 2) if a == b or b.startswith(f"{a}/")]
    if clash:
        a, b = clash[0]
        help = "write them to .lmdb, or to two files"
        raise BadData("ND0958", f'{output}: "{a}" and "{b}" cannot both be data sets of one file', help=help)


def _write_npz(output: Path, found: Found, blobs: tuple[str, ...]) -> int:
    names: list[str] = []
    values: dict[str, list[Array]] = {blob: [] for blob in blobs}
    for path, row in found:
        names.append(str(path))
        for blob in blobs:
            values[blob].append(row[blob])
    arrays = {blob: np.stack(rows) for blob, rows in values.items()}
    with replacing(output) as stream, ZipFile(stream, "w") as file:  # np.savez cannot take every name
        for name, array in {NAMES: np.array(names), **arrays}.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return len(names)


def _alike(output: Path, found: Found, blobs: tuple[str, ...]) -> Iterator[tuple[Path, Row]]:
    """The rows as they are, which one array can hold; a net for images of any size may give others."""
    first: Row = {}
    for path, row in found:
        first = first or row
        for blob in blobs:
            if row[blob].shape != first[blob].shape:
                a, b = ("x".join(map(str, value.shape)) for value in (first[blob], row[blob]))
                help = "`--resize HxW` makes images alike; a .lmdb holds rows of any shape"
                message = f'{output}: blob "{blob}" is {b} for {path}, and {a} for the first image'
                raise BadData("ND0958", message, help=help)
        yield path, row


def _write_h5(output: Path, found: Found, blobs: tuple[str, ...]) -> int:
    """Row after row, so that memory does not bound the number of images."""
    with replacing(output) as stream, h5py.File(stream, "w") as file:
        return _append_all(file, found, blobs)


def _append_all(file: h5py.File, found: Found, blobs: tuple[str, ...]) -> int:
    count = 0
    names = file.create_dataset(NAMES, (0,), h5py.string_dtype(), maxshape=(None,))
    for chunk in chunks(found, _ROWS_A_WRITE):
        _append(names, np.array([os.fsencode(path) for path, _ in chunk], dtype=object))
        for blob in blobs:
            rows = np.stack([row[blob] for _, row in chunk])
            if blob not in file:
                file.create_dataset(blob, (0, *rows.shape[1:]), np.float32, maxshape=(None, *rows.shape[1:]))
            _append(file[blob], rows)
        count += len(chunk)
    return count


def _append(dataset: h5py.Dataset, rows: Array) -> None:
    start = len(dataset)
    dataset.resize(start + len(rows), axis=0)
    dataset[start:] = rows


def _write_databases(output: Path, found: Found, blobs: tuple[str, ...]) -> tuple[int, tuple[Path, ...]]:
    if len(blobs) == 1:
        return write_lmdb(output, _records(blobs[0], (row for _, row in found))), (output,)
    kept = [row for _, row in found]
    paths = tuple(output.with_suffix(f".{blob.replace('/', '_')}.lmdb") for blob in blobs)
    for path, blob in zip(paths, blobs, strict=True):
        write_lmdb(path, _records(blob, kept))
    return len(kept), paths


def _records(blob: str, rows: Iterable[Row]) -> Iterator[tuple[bytes, bytes]]:
    """Source: Caffe's tools/extract_features.cpp."""
    for index, row in enumerate(rows):
        value = row[blob]
        if value.ndim > 3:
            raise BadData("ND0958", f'blob "{blob}" has {value.ndim} axes for an image; a Datum holds three')
        channels, height, width = (*value.shape, 1, 1, 1)[:3]
        datum = Datum(channels=channels, height=height, width=width, label=index)
        datum.float_data.extend(value.ravel().tolist())
        yield f"{index:010d}".encode(), datum.SerializeToString(deterministic=True)
