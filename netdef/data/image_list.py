"""How are batches of images read from a list of files, as by Caffe's ImageData layer?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from netdef.data.batch import Top
from netdef.data.faults import BadData
from netdef.data.images import COLOR, GRAY, read_image
from netdef.data.lists import Entry, read_image_list
from netdef.data.order import Order
from netdef.data.paths import find, locate
from netdef.data.reader import Labels, Ticket, Work
from netdef.data.records_reader import image_draws
from netdef.data.transform import Draws, Transformer
from netdef.ir import Phase
from netdef.layers.data import ImageData


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the files of a list are: `root` is put before each name as it is, as Caffe does."""

    root: str
    base_dir: Path | None

    def path(self, entry: Entry) -> Path:
        """The file of an entry."""
        named = self.root + entry.path
        return find(named, self.base_dir) or Path(named)


class ImageListReader:
    """Files of a list, in its order or shuffled. Source: Caffe's image_data_layer.cpp."""

    def __init__(
        self, layer: ImageData, entries: tuple[Entry, ...], folder: Folder, transformer: Transformer, labels: Labels
    ) -> None:
        self.batch_size, self.epoch_size = layer.batch_size, len(entries)
        self._layer, self._entries, self._folder = layer, entries, folder
        self._transformer, self._labels = transformer, labels
        self._order = Order(len(entries), layer.shuffle)

    @classmethod
    def open(cls, layer: ImageData, phase: Phase, base_dir: Path | None, labels: Labels) -> ImageListReader:
        """Read the list and the mean file."""
        transformer = Transformer.open(layer.transform, phase, base_dir)
        entries = read_image_list(locate(layer.source, base_dir, "image list"))
        if layer.rand_skip >= len(entries) > 0 and layer.rand_skip > 1:
            message = f"`rand_skip: {layer.rand_skip}`, and the list has {len(entries):,} lines"
            raise BadData("ND0532", message, field="rand_skip")
        return cls(layer, entries, Folder(layer.root_folder, base_dir), transformer, labels)

    def fetch(self, ticket: Ticket) -> Work:
        """Choose the files; reading and decoding them is the work."""
        rows = ticket.shard.rows(self.batch_size)
        start = ticket.skip(self._layer.rand_skip) + ticket.number * self.batch_size + rows.start
        entries = [self._entries[row] for row in self._order.rows(ticket, start, len(rows))]
        return partial(self._make, entries, image_draws(self._transformer, ticket, self.batch_size))

    def close(self) -> None:
        """Nothing is held open."""

    def _make(self, entries: list[Entry], draws: Draws) -> tuple[Top, ...]:
        layer = self._layer
        size = (layer.new_height, layer.new_width) if layer.new_height else None
        mode = COLOR if layer.is_color else GRAY
        names = [f"{layer.source}, line {entry.line}" for entry in entries]
        images = [
            read_image(self._folder.path(entry), size, mode, name) for entry, name in zip(entries, names, strict=True)
        ]
        labels = np.array([entry.label for entry in entries], np.float32)
        return self._transformer.batch(images, draws, names.__getitem__), self._labels.check(labels, names.__getitem__)
