"""How are batches of images read from a database, as by Caffe's Data layer?"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from netdef.data.batch import Top
from netdef.data.database import Database, Record, open_database
from netdef.data.datum import show_key
from netdef.data.paths import locate
from netdef.data.reader import DRAW, Labels, Ticket, Work
from netdef.data.records import read_record
from netdef.data.transform import DRAWS, Draws, Transformer
from netdef.ir import Phase
from netdef.layers.data import Data


class RecordsReader:
    """Records in the order of their keys. Source: Caffe's data_layer.cpp."""

    def __init__(self, layer: Data, database: Database, transformer: Transformer, labels: Labels) -> None:
        self.batch_size, self.epoch_size = layer.batch_size, database.entries
        self._layer, self._database = layer, database
        self._transformer, self._labels = transformer, labels

    @classmethod
    def open(cls, layer: Data, phase: Phase, base_dir: Path | None, labels: Labels) -> RecordsReader:
        """Open the database and the mean file."""
        transformer = Transformer.open(layer.transform, phase, base_dir)
        database = open_database(locate(layer.source, base_dir, "database"), layer.backend)
        return cls(layer, database, transformer, labels)

    def fetch(self, ticket: Ticket) -> Work:
        """Read the raw records; decoding them is the work."""
        rows = ticket.shard.rows(self.batch_size)
        start = ticket.skip(self._layer.rand_skip) + ticket.number * self.batch_size
        records = self._database.read(start + rows.start, len(rows))
        return partial(self._make, records, image_draws(self._transformer, ticket, self.batch_size))

    def close(self) -> None:
        """Let the database go."""
        self._database.close()

    def _make(self, records: list[Record], draws: Draws) -> tuple[Top, ...]:
        read = [read_record(record, self._layer.transform) for record in records]
        name = partial(_name, records)
        images = self._transformer.batch([image for image, _ in read], draws, name)
        labels = self._labels.check(np.array([label for _, label in read], np.float32), name)
        return (images, labels)[: self._layer.count]


def _name(records: list[Record], row: int) -> str:
    return f"record {show_key(records[row][0])}"


def image_draws(transformer: Transformer, ticket: Ticket, batch_size: int) -> Draws:
    """The draws for this shard's rows; drawn for the whole batch, so that they don't depend on the sharding."""
    rows = ticket.shard.rows(batch_size)
    if not transformer.random:
        return np.zeros((len(rows), DRAWS))
    return ticket.rng(DRAW, ticket.number).random((batch_size, DRAWS))[rows.start : rows.stop]
