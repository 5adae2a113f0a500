"""The weights of the classes in a loss, on the device where the net is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ClassWeights(nn.Module):
    """Gives the weights (C) that it was made with; no parameter, not in the state_dict."""

    weights: Tensor

    def __init__(self, weights: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)

    def forward(self) -> Tensor:
        """The weights."""
        return self.weights
