"""How are the blobs of DummyData filled?"""

from __future__ import annotations

from functools import partial

from netdef.data.batch import Floats, Top
from netdef.data.reader import FILL, Ticket, Work
from netdef.ir import Filler
from netdef.ir.fill import fill
from netdef.layers.data import DummyData


class DummyReader:
    """Filled blobs: a constant one made once, any other anew for each batch. Source: Caffe's dummy_data_layer.cpp."""

    def __init__(self, layer: DummyData) -> None:
        self._shapes = [shape.known_sizes() for shape in layer.shapes]
        self._fillers = layer.fillers
        self.batch_size = self.epoch_size = self._shapes[0][0] if self._shapes[0] else 1
        self._constants: dict[int, Floats] = {}

    def fetch(self, ticket: Ticket) -> Work:
        """All is work."""
        return partial(self._make, ticket)

    def close(self) -> None:
        """Nothing is held open."""

    def _make(self, ticket: Ticket) -> tuple[Top, ...]:
        return tuple(self._top(ticket, index, filler) for index, filler in enumerate(self._fillers))

    def _top(self, ticket: Ticket, index: int, filler: Filler) -> Floats:
        shape = self._shapes[index]
        if filler.type != "constant":
            values = fill(filler, shape, ticket.rng(FILL, ticket.number, index))
        else:
            if index not in self._constants:
                self._constants[index] = fill(filler, shape, ticket.rng(FILL))
            values = self._constants[index]
        rows = ticket.shard.rows(shape[0]) if shape else range(0)
        return values[rows.start : rows.stop].copy() if shape else values.copy()
