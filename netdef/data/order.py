"""In which order does each round over the data go?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netdef.data.reader import SHUFFLE, Ticket


class Order:
    """Rows 0 to `size` - 1, round after round, shuffled anew each round where asked for."""

    def __init__(self, size: int, shuffle: bool) -> None:
        self.size, self.shuffle = size, shuffle
        self._kept: tuple[tuple[int, ...], NDArray[np.int64]] = ((), np.arange(size))

    def rows(self, ticket: Ticket, start: int, count: int, *kind: int) -> NDArray[np.int64]:
        """The rows at the places `start` to `start + count` of the endless sequence; `kind` tells sequences apart."""
        rows, place = [], start
        while place < start + count:
            epoch, first = divmod(place, self.size)
            part = self.round(ticket, epoch, *kind)[first : first + start + count - place]
            rows.append(part)
            place += len(part)
        return np.concatenate(rows) if rows else np.arange(0)

    def round(self, ticket: Ticket, epoch: int, *kind: int) -> NDArray[np.int64]:
        """All rows in the order of one round."""
        if not self.shuffle:
            return self._kept[1]
        key = (ticket.seed, epoch, *kind)
        if self._kept[0] != key:
            self._kept = (key, ticket.rng(SHUFFLE, epoch, *kind).permutation(self.size))
        return self._kept[1]
