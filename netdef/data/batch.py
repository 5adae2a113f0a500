"""What is one batch of a data layer, before its arithmetic is done?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Images:
    """Images after crop and mirror, with the arithmetic that is left: ``(pixels - mean) * scale`` in float32.

    So that bytes can travel to the device and be transformed there (`netdef.data.device.finish` does the same in
    torch, to the last bit).

    Attributes:
        pixels: (N, C, H, W), uint8 or float32.
        mean: float32 that broadcasts to the pixels, (1, C, 1, 1) or (1, C, H, W); None subtracts nothing.
        scale: the factor, already rounded to float32.
    """

    pixels: Array
    mean: Floats | None = None
    scale: float = 1.0

    def finish(self) -> Floats:
        """The values of the top, (N, C, H, W) in float32. Source: Caffe's DataTransformer::Transform."""
        values = self.pixels.astype(np.float32)
        if self.mean is not None:
            values -= self.mean
        if self.scale != 1.0:
            values *= np.float32(self.scale)
        return values


Top = Images | Floats
"""One top of a batch: images still to be finished, or plain values."""
