"""How are the next items of a source made ahead of their use, from a position that can be saved and taken up again?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from netdef.data.source import State

T = TypeVar("T")


class Positioned(Protocol):
    """What items are made of."""

    def state(self) -> State:
        """Where it stands."""

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on from there."""

    def close(self) -> None:
        """Let files go."""


class Pipeline(Generic[T]):
    """Items in order, the next `depth` of which `make` makes in threads, each from its number.

    The position is that of the items handed out, whatever was made ahead. An error is raised where the item in question
    is asked for, each time it is.

    Attributes:
        handed: the number of the next item to be handed out.
    """

    def __init__(
        self, source: Positioned, make: Callable[[int], T], *, workers: int, depth: int, thread_name: str
    ) -> None:
        self._source, self._make = source, make
        self._workers, self._depth, self._thread_name = workers, depth, thread_name
        self._pool: ThreadPoolExecutor | None = None
        self._begin()

    def take(self) -> T:
        """The next item."""
        self._fill()
        item = self._ahead[0].result()
        self._ahead.popleft()
        self.handed += 1
        self._fill()
        return item

    def state(self) -> State:
        """Where the source stands after the last item handed out."""
        return {**self._source.state(), "batch": self.handed}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on exactly where `state` was taken."""
        self._stop()
        self._source.restore(state)
        self._begin()

    def close(self) -> None:
        """Stop the threads, after the items they have begun, and let files go."""
        self._stop()
        self._source.close()

    def _begin(self) -> None:
        self.handed = self._source.state()["batch"]
        self._ahead: deque[Future[T]] = deque()

    def _fill(self) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix=self._thread_name)
        while len(self._ahead) < self._depth:
            self._ahead.append(self._pool.submit(self._make, self.handed + len(self._ahead)))

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
