"""How long does a piece of work take, by the wall or on a GPU's own stream?"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch

_MS = 1e3
Key = tuple[str, str]


class Stopwatch:
    """Measures by the wall on the processor, by events on the stream on a GPU; times in ms by key."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.times: dict[Key, list[float]] = {}
        self._pending: list[tuple[Key, torch.cuda.Event, torch.cuda.Event]] = []

    def measure(self, key: Key, work: Callable[[], Any]) -> Any:
        """Do the work, note how long it took, hand on what it gave."""
        if not self.cuda:
            start = perf_counter()
            result = work()
            self.times.setdefault(key, []).append((perf_counter() - start) * _MS)
            return result
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        result = work()
        last.record()
        self._pending.append((key, first, last))
        return result

    def settle(self) -> None:
        """Read the events, once a round, so that measuring stops the device as seldom as can be."""
        if self._pending:
            torch.cuda.synchronize()
        for key, first, last in self._pending:
            self.times.setdefault(key, []).append(first.elapsed_time(last))
        self._pending.clear()
