"""In which order do a module's weights lie in memory?"""

from __future__ import annotations

import torch
from torch import nn

_IMAGES = 4
"""The number of axes that torch knows such an order for."""


def to_channels_last(module: nn.Module) -> None:
    """Lay out all weights with four axes channels last; others (3-d convolutions, which torch refuses) stay."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == _IMAGES:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
