"""What must a reader of batches be able to do, and how is its work told to it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from netdef.data.batch import Floats, Top
from netdef.data.faults import BadData

Work = Callable[[], tuple[Top, ...]]
"""Makes a batch from what was fetched: pure, so that any thread may do it at any time."""

SHUFFLE, SKIP, DRAW, FILL = range(4)
"""What random numbers are for; each purpose has a stream of its own."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of every batch that belongs to one process of several."""

    rank: int = 0
    world: int = 1

    def rows(self, batch_size: int) -> range:
        """The rows of a global batch that are this rank's: without overlap, without a gap, in order."""
        return range(batch_size * self.rank // self.world, batch_size * (self.rank + 1) // self.world)


@dataclass(frozen=True, slots=True)
class Turns:
    """Whole batches shared out: of every `count` one process takes each `world`-th, from its `rank` on."""

    count: int = 1
    rank: int = 0
    world: int = 1

    @property
    def own(self) -> int:
        """How many of `count` batches are this process's."""
        return len(range(self.rank, self.count, self.world))

    def number(self, own: int) -> int:
        """The number among all batches of this process's batch number `own`."""
        if self.world == 1:
            return own
        rounds, place = divmod(own, self.own)
        return rounds * self.count + self.rank + place * self.world

    def position(self, own: int) -> int:
        """Where all processes together stand when this one has taken `own` batches of rounds that are complete."""
        return own if self.world == 1 else own // max(self.own, 1) * self.count

    def taken(self, position: int) -> int:
        """How many batches this process has taken where all together stand at `position`."""
        return position if self.world == 1 else position // self.count * self.own


WHOLE, ONE = Shard(), Turns()
"""What a run in one process takes: every row of every batch."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Which batch to make.

    Everything random follows from these numbers alone: resuming needs no more than them, and neither the number of
    threads nor of processes changes a value.

    Attributes:
        number: batches before it since the start.
        seed: of the run and the layer.
        shard: the rows to make.
    """

    number: int
    seed: int
    shard: Shard = Shard()

    def rng(self, purpose: int, *count: int) -> np.random.Generator:
        """The stream of one purpose; `count` tells apart what is drawn anew (an epoch, a batch)."""
        return np.random.default_rng((self.seed, purpose, *count))

    def skip(self, rand_skip: int) -> int:
        """Records left out at the start: fewer than `rand_skip`."""
        return int(self.rng(SKIP).integers(rand_skip)) if rand_skip else 0


class Reader(Protocol):
    """One kind of source. Batches go on round the end of the data.

    Attributes:
        batch_size: rows of a global batch.
        epoch_size: rows of one round over the data.
    """

    batch_size: int
    epoch_size: int

    def fetch(self, ticket: Ticket) -> Work:
        """Read what the batch needs; called by one thread at a time, fastest in order."""

    def close(self) -> None:
        """Let files go."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What labels may be: 0 to `classes` - 1, and `ignore`; any number where `classes` is None."""

    classes: int | None = None
    ignore: int | None = None

    def check(self, labels: Floats, name: Callable[[int], str]) -> Floats:
        """The labels themselves; BadData ND0512 names the first that is out of range."""
        if self.classes is not None:
            good = (labels >= 0) & (labels < self.classes)
            if self.ignore is not None:
                good |= labels == self.ignore
            if not good.all():
                row = int(np.flatnonzero(~good)[0])
                raise self._bad(float(labels.flat[row]), name(row))
        return labels

    def _bad(self, label: float, name: str) -> BadData:
        expected = f"the net has classes 0 to {(self.classes or 0) - 1}"
        help = "give the last layer more outputs, or mend the labels"
        return BadData("ND0512", f"{name} has label {label:g}, and {expected}", help=help)
