"""What is kept of a batch for who wants to look inside the net?"""

from __future__ import annotations

from torch import Tensor


class Sight:
    """Every blob of a net's last batch, and after the way back its gradient.

    Attributes:
        values: the blobs by id, each with its `grad` where one flows to it.
    """

    def __init__(self) -> None:
        self.values: dict[str, Tensor] = {}

    def keep(self, values: dict[str, Tensor]) -> None:
        """Hold on to what a forward pass gave, and to the gradients to come."""
        self.values = values
        for value in values.values():
            if value.requires_grad and not value.is_leaf:
                value.retain_grad()
