"""How are batches cut from arrays that a program hands over, as by Caffe's MemoryData layer?"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from netdef.data.batch import Floats
from netdef.data.faults import BadData
from netdef.data.reader import Labels, Ticket, Work
from netdef.layers.data import MemoryData


class MemoryReader:
    """Arrays in memory, batch after batch, and round again. Source: Caffe's memory_data_layer.cpp."""

    def __init__(self, layer: MemoryData, labels: Labels) -> None:
        self.batch_size, self.epoch_size = layer.batch_size, 0
        self._row = (layer.channels, layer.height, layer.width)
        self._check = labels
        self._images: Floats = np.empty((0, *self._row), np.float32)
        self._labels: Floats = np.empty(0, np.float32)

    def reset(self, images: ArrayLike, labels: ArrayLike) -> None:
        """Take images (n, C, H, W) and n labels; n a multiple of the batch. As in Caffe, they are not transformed."""
        x, y = np.array(images, np.float32), np.array(labels, np.float32)
        if x.shape[1:] != self._row or y.size != len(x):
            expected = "x".join(map(str, ("n", *self._row)))
            found = f"{'x'.join(map(str, x.shape))} and {y.size} labels"
            raise BadData("ND0550", f"MemoryData takes images {expected} and n labels, found {found}")
        if not len(x) or len(x) % self.batch_size:
            raise BadData("ND0550", f"{len(x)} images are no multiple of `batch_size: {self.batch_size}`")
        self._images, self._labels, self.epoch_size = x, y.reshape(-1), len(x)

    def fetch(self, ticket: Ticket) -> Work:
        """Cut the rows out; BadData ND0551 before the first `reset`."""
        if not self.epoch_size:
            raise BadData("ND0551", "MemoryData has no data yet", help="hand it over first: reset(images, labels)")
        first = ticket.number * self.batch_size % self.epoch_size
        rows = ticket.shard.rows(self.batch_size)
        part = slice(first + rows.start, first + rows.stop)
        labels = self._check.check(self._labels[part], lambda row: f"image {part.start + row}")
        return partial(tuple, (self._images[part], labels))

    def close(self) -> None:
        """Let the arrays go."""
        self._images, self._labels, self.epoch_size = self._images[:0], self._labels[:0], 0
