"""What was the loss, without asking the device for it in every iteration?"""

from __future__ import annotations

from collections import deque
from math import isfinite

import torch
from torch import Tensor

_MOST_PENDING = 256


class Losses:
    """The losses of a run: the last `window` as numbers, newer ones perhaps still on their way on the device.

    On a GPU a loss is read when it is asked for (or after 256 iterations), so that the loop never waits. `diverged` is
    the first iteration known to have a loss that is not finite.
    """

    def __init__(self, window: int) -> None:
        self.recent: deque[float] = deque(maxlen=window)
        self.diverged: int | None = None
        self._pending: list[tuple[int, Tensor]] = []

    def add(self, iteration: int, loss: Tensor) -> None:
        """Note the loss of `iteration`."""
        self._pending.append((iteration, loss))
        if loss.device.type == "cpu" or len(self._pending) >= _MOST_PENDING:
            self.settle()

    def settle(self) -> None:
        """Read what is pending."""
        if not self._pending:
            return
        values = _numbers([loss for _, loss in self._pending])
        for (iteration, _), value in zip(self._pending, values, strict=True):
            if self.diverged is None and not isfinite(value):
                self.diverged = iteration
        self._pending.clear()
        self.recent.extend(values)

    @property
    def mean(self) -> float:
        """The mean of the last `window` losses; not a number before the first."""
        self.settle()
        return sum(self.recent) / len(self.recent) if self.recent else float("nan")


def _numbers(losses: list[Tensor]) -> list[float]:
    return [losses[0].item()] if len(losses) == 1 else [float(x) for x in torch.stack(losses).tolist()]
