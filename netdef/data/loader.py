"""How are batches read ahead while the net computes?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Condition

from netdef.data.batch import Floats, Top
from netdef.data.pipeline import Pipeline
from netdef.data.source import BatchSource, State, finished
from netdef.ranks import local_world_size

DEPTH = 4
"""Batches kept ready: as many as Caffe's `prefetch` default."""
FEWEST, MOST = 2, 8
"""Threads that read."""


def num_readers(*, beside_gpu: bool) -> int:
    """How many threads should read: few where the processor computes, else its cores but one, this process's share."""
    if not beside_gpu:
        return FEWEST
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores // local_world_size() - 1, FEWEST), MOST)


class Loader:
    """Reads a source ahead in threads; batches come in order, the same whatever their number.

    OpenCV, LMDB and numpy let other threads run while they work. Use it in the place of the source, also as a context
    manager. An error in a thread is raised where the batch in question is asked for, each time it is.
    """

    def __init__(self, source: BatchSource, *, workers: int = FEWEST, depth: int | None = None) -> None:
        self._source, self._turn = source, Condition()
        depth = max(DEPTH, workers + 1) if depth is None else max(1, depth)
        self._batches = Pipeline(source, self._make, workers=max(1, workers), depth=depth, thread_name="netdef-loader")
        self._fetched = self._batches.handed

    readable_ahead = True

    @property
    def batch_size(self) -> int:
        """Rows of a global batch."""
        return self._source.batch_size

    @property
    def epoch_size(self) -> int:
        """Rows in one round over the data."""
        return self._source.epoch_size

    def next_raw(self) -> tuple[Top, ...]:
        """The next batch, one item for each top, images with their arithmetic still to be done."""
        return self._batches.take()

    def next_batch(self) -> tuple[Floats, ...]:
        """The next batch as float32 arrays, one for each top."""
        return finished(self.next_raw())

    def state(self) -> State:
        """Where the source stands after the last batch handed out, whatever was read ahead."""
        return self._batches.state()

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on exactly where `state` was taken."""
        self._batches.restore(state)
        self._fetched = self._batches.handed

    def close(self) -> None:
        """Stop the threads, after the batches they have begun, and let files go."""
        self._batches.close()

    def __enter__(self) -> Loader:
        """The loader itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _make(self, number: int) -> tuple[Top, ...]:
        """In a thread: fetch in turn, as sources read fastest in order, then work beside the others."""
        with self._turn:
            self._turn.wait_for(lambda: self._fetched == number)
            try:
                work = self._source.fetch(number)
            finally:
                self._fetched += 1
                self._turn.notify_all()
        return work()
