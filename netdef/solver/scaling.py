"""How do small gradients survive half precision? The loss is multiplied, and the gradients divided again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from netdef.solver.team import ALONE, Team

FIRST, GROWTH, BACKOFF, INTERVAL = 2.0**16, 2.0, 0.5, 2000
"""As in torch.amp.GradScaler."""


class Optimizer(Protocol):
    """What is scaled for."""

    iteration: int

    def gradients(self) -> list[Tensor]:
        """Every gradient of the next update."""

    def step(self) -> Any:
        """Make the update."""


class Scale(Protocol):
    """What is done about the loss before the way back, and about the gradients before the update.

    Attributes:
        scale: how many times too large the gradients are in between.
    """

    scale: float

    def backward(self, loss: Tensor) -> None:
        """Sum the gradients of `loss` into the parameters."""

    def step(self, optimizer: Optimizer) -> None:
        """Make one update of the true gradients, or none where they are not finite."""

    def state(self) -> dict[str, float]:
        """What an exact resume needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""


class NoScale:
    """Nothing, in every precision but half."""

    scale = 1.0

    def backward(self, loss: Tensor) -> None:
        """See Scale."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: Optimizer) -> None:
        """See Scale."""
        optimizer.step()

    def state(self) -> dict[str, float]:
        """See Scale."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See Scale."""


NO_SCALE = NoScale()


class LossScale:
    """The loss times `scale`, so large that gradients just fit into half precision (torch.amp.GradScaler's rule).

    Where a gradient is not finite the update is left out and the scale halved; after 2,000 updates without that it
    doubles. An iteration whose update is left out counts all the same. The device is asked once an iteration.

    `team`: the processes that hold the gradients in parts together.
    """

    def __init__(self, device: torch.device, team: Team = ALONE) -> None:
        self.scale, self.good, self.team = FIRST, 0, team
        self._bad = torch.zeros((), device=device)

    def backward(self, loss: Tensor) -> None:
        """See Scale."""
        (loss * self.scale).backward()  # type: ignore[no-untyped-call]

    def step(self, optimizer: Optimizer) -> None:
        """See Scale."""
        inverse = torch.full((), 1 / self.scale, device=self._bad.device)
        torch._amp_foreach_non_finite_check_and_unscale_(optimizer.gradients(), self._bad.zero_(), inverse)
        if self.team.sum(self._bad).item():
            self.scale, self.good = self.scale * BACKOFF, 0
            optimizer.iteration += 1
            return
        optimizer.step()
        self.good += 1
        if self.good == INTERVAL:
            self.scale, self.good = self.scale * GROWTH, 0

    def state(self) -> dict[str, float]:
        """See Scale."""
        return {"scale": self.scale, "good": self.good}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See Scale."""
        self.scale, self.good = float(state.get("scale", FIRST)), int(state.get("good", 0))
