"""How are batches read ahead while the net computes?"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition

from netdef.data.batch import Floats, Top
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
        self._source, self._num_workers = source, max(1, workers)
        self._depth = max(DEPTH, workers + 1) if depth is None else max(1, depth)
        self._pool: ThreadPoolExecutor | None = None
        self._turn = Condition()
        self._begin()

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
        self._read_ahead()
        tops = self._ahead[0].result()
        self._ahead.popleft()
        self._handed += 1
        self._read_ahead()
        return tops

    def next_batch(self) -> tuple[Floats, ...]:
        """The next batch as float32 arrays, one for each top."""
        return finished(self.next_raw())

    def state(self) -> State:
        """Where the source stands after the last batch handed out, whatever was read ahead."""
        return {**self._source.state(), "batch": self._handed}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on exactly where `state` was taken."""
        self._stop()
        self._source.restore(state)
        self._begin()

    def close(self) -> None:
        """Stop the threads, after the batches they have begun, and let files go."""
        self._stop()
        self._source.close()

    def __enter__(self) -> Loader:
        """The loader itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _begin(self) -> None:
        self._handed = self._fetched = self._source.state()["batch"]
        self._ahead: deque[Future[tuple[Top, ...]]] = deque()

    def _read_ahead(self) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._num_workers, thread_name_prefix="netdef-loader")
        while len(self._ahead) < self._depth:
            self._ahead.append(self._pool.submit(self._make, self._handed + len(self._ahead)))

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

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
