"""What are the weights on average over the last updates?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from netdef.targets.torch.parts import own


class Average:
    """A moving average of every parameter and statistic: ``a = decay a + (1 - decay) w`` after each update.

    It begins as the weights themselves (Polyak and Juditsky 1992 for the idea; decay as in Tarvainen and Valpola 2017).
    """

    def __init__(self, tensors: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self._weights = [own(tensor).detach() for tensor in tensors.values()]
        self._averages = [tensor.clone() for tensor in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        torch._foreach_lerp_(self._averages, self._weights, 1 - self.decay)

    @torch.no_grad()
    def begin(self) -> None:
        """Let the average be the weights as they are now."""
        torch._foreach_copy_(self._averages, self._weights)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Compute with the averages inside the block, with the weights again after it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        """One array at a time, so that no more memory is needed than the largest takes."""
        for weight, average in zip(self._weights, self._averages, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)
