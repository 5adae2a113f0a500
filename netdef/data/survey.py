"""What does a whole database hold: its mean image, its shapes and labels?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from netdef.data.batch import Array, Floats
from netdef.data.database import Database, Record
from netdef.data.datum import parse, show_key
from netdef.data.faults import BadData
from netdef.data.records import read_record
from netdef.layers.data import Transform

CHUNK = 256
Tick = Callable[[int], None]
"""Called with the number of records done since the last call."""


def mean_image(database: Database, tick: Tick) -> Floats:
    """The mean (C, H, W) of all images; BadData ND0511 where their shapes differ.

    Source: Caffe's tools/compute_image_mean.cpp; summed in double precision here.
    """
    total: Array | None = None
    first = ""
    read = partial(read_record, transform=Transform())
    with ThreadPoolExecutor() as pool:
        for records in _chunks(database, tick):
            for (key, _), (image, _) in zip(records, pool.map(read, records), strict=True):
                if total is None:
                    total, first = np.zeros(image.shape), show_key(key)
                if image.shape != total.shape:
                    sizes, expected = ("x".join(map(str, one.shape)) for one in (image, total))
                    raise BadData("ND0511", f"record {show_key(key)} is {sizes}, and {first} is {expected}: no mean")
                total += image
    assert total is not None, "an open database has records"
    return np.asarray(total / database.entries, np.float32)


@dataclass(slots=True)
class Survey:
    """What was found in the records looked at: how many of each form, shape and label.

    Attributes:
        forms: ``bytes``, ``floats``, or the kind of the encoded files.
        shapes: ``3x32x32``; encoded images are counted under ``?`` as they are not decoded.
        labels: by class.
    """

    num_records: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count one record; BadData ND0510 when it is none."""
        datum = parse(*record)
        self.num_records += 1
        self.forms[_kind(datum.data) if datum.encoded else "bytes" if datum.data else "floats"] += 1
        self.shapes["?" if datum.encoded else f"{datum.channels}x{datum.height}x{datum.width}"] += 1
        self.labels[datum.label] += 1


def survey(database: Database, tick: Tick) -> Survey:
    """Look at every record."""
    found = Survey()
    for records in _chunks(database, tick):
        for record in records:
            found.add(record)
    return found


def _chunks(database: Database, tick: Tick) -> Iterator[list[Record]]:
    for start in range(0, database.entries, CHUNK):
        records = database.read(start, min(CHUNK, database.entries - start))
        yield records
        tick(len(records))


_MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"BM": "BMP", b"RIFF": "WebP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}


def _kind(file: bytes) -> str:
    return next((kind for magic, kind in _MAGIC.items() if file.startswith(magic)), "other image")
