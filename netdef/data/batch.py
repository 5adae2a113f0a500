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
        parts: (N, 3) where `mean` is the picture (C, H', W') that all images were cut from: for each its row and its
            column there, and 1 where it was flipped; the same part of the mean is subtracted, flipped alike.
    """

    pixels: Array
    mean: Floats | None = None
    scale: float = 1.0
    parts: NDArray[np.int64] | None = None

    def settled(self) -> Images:
        """The same, each image's own part of the mean subtracted already."""
        if self.parts is None or self.mean is None:
            return self
        values = self.pixels.astype(np.float32)
        height, width = values.shape[2:]
        for image, (y, x, flip) in zip(values, self.parts.tolist(), strict=True):
            part = self.mean[:, y : y + height, x : x + width]
            image -= part[:, :, ::-1] if flip else part
        return Images(values, None, self.scale)

    def finish(self) -> Floats:
        """The values of the top, (N, C, H, W) in float32. Source: Caffe's DataTransformer::Transform."""
        if self.parts is not None:
            return self.settled().finish()
        values = self.pixels.astype(np.float32)
        if self.mean is not None:
            values -= self.mean
        if self.scale != 1.0:
            values *= np.float32(self.scale)
        return values


Top = Images | Floats
"""One top of a batch: images still to be finished, or plain values."""
