"""What does Caffe's DataTransformer do to a batch of images?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from netdef.data.batch import Array, Floats, Images
from netdef.data.faults import BadData
from netdef.data.mean import read_mean
from netdef.data.paths import locate
from netdef.diagnostics.words import counted
from netdef.ir import Phase
from netdef.layers.data import Transform

Draws = NDArray[np.float64]
"""Three numbers in [0, 1) for each image: for the flip, the row and the column of the crop."""
DRAWS = 3
Sizes = tuple[int, ...]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Transformer:
    """Crop, mirror, ``(x - mean) * scale``, in Caffe's order. Source: data_transformer.cpp.

    Attributes:
        transform: the layer's fields.
        train: crop at random (TRAIN) or in the centre (TEST); mirror flips at random in both.
        mean: the mean image (C, H, W) of `mean_file`.
    """

    transform: Transform
    train: bool
    mean: Floats | None = None

    @classmethod
    def open(cls, transform: Transform, phase: Phase, base_dir: Path | None) -> Transformer:
        """Read the mean file where there is one."""
        path = transform.mean_file
        mean = read_mean(locate(path, base_dir, "mean file", "mean_file")) if path else None
        return cls(transform, phase == "TRAIN", mean)

    @property
    def random(self) -> bool:
        """Whether images need draws."""
        return self.transform.mirror or (self.train and self.transform.crop_size > 0)

    def batch(self, images: Sequence[Array], draws: Draws, name: Callable[[int], str]) -> Images:
        """The images (C, H, W) of one batch, cut and flipped, with the arithmetic still to be done.

        `draws` is (N, 3); `name` says what an error calls an image. Images of different sizes are fine where a crop
        makes them equal. BadData: ND0511 shapes differ, ND0520 crop larger than an image, ND0522 mean of another shape.
        """
        shapes = [image.shape for image in images]
        for shape in dict.fromkeys(shapes):
            self._check(shape, name(shapes.index(shape)), shapes[0], name(0))
        places = self._places(shapes, draws)
        flips = draws[:, 0] < 0.5 if self.transform.mirror else np.zeros(len(images), bool)
        pixels = self._cut(images, places, flips)
        if self.mean is not None:
            return self._subtract_image(pixels, places, flips)
        return Images(pixels, self._mean_values(pixels.shape[1]), self._scale)

    @property
    def _scale(self) -> float:
        return float(np.float32(self.transform.scale))

    def _places(self, shapes: Sequence[Sizes], draws: Draws) -> list[Place]:
        """Row and column of each crop's corner."""
        size = self.transform.crop_size
        if not size:
            return [(0, 0)] * len(shapes)
        if not self.train:
            return [((height - size) // 2, (width - size) // 2) for _, height, width in shapes]
        return [
            (int(v * (height - size + 1)), int(u * (width - size + 1)))
            for (_, height, width), (v, u) in zip(shapes, draws[:, 1:].tolist(), strict=True)
        ]

    def _cut(self, images: Sequence[Array], places: list[Place], flips: NDArray[np.bool_]) -> Array:
        channels, height, width = images[0].shape
        if self.transform.crop_size:
            height = width = self.transform.crop_size
        elif not flips.any():
            return np.stack(images)
        dtype = np.uint8 if all(image.dtype == np.uint8 for image in images) else np.float32
        pixels = np.empty((len(images), channels, height, width), dtype)
        for target, image, (y, x), flip in zip(pixels, images, places, flips, strict=True):
            part = image[:, y : y + height, x : x + width]
            _copy(part, target, flip)
        return pixels

    def _subtract_image(self, pixels: Array, places: list[Place], flips: NDArray[np.bool_]) -> Images:
        """With a mean image: bytes stay bytes, and the device finds each one's part of it."""
        assert self.mean is not None
        if len(set(places)) == 1 and not flips.any():
            return Images(pixels, self._cut([self.mean], places[:1], flips[:1]), self._scale)
        parts = np.column_stack([np.array(places), flips]).astype(np.int64)
        return Images(pixels, self.mean, self._scale, parts)

    def _mean_values(self, channels: int) -> Floats | None:
        values = self.transform.mean_values
        return np.array(values, np.float32).reshape(1, -1, 1, 1) if values else None

    def _check(self, shape: Sizes, name: str, first: Sizes, first_name: str) -> None:
        size = self.transform.crop_size
        if shape[0] != first[0] or (not size and shape != first):
            help = "set `force_color` or `force_gray`, or `crop_size`; or make them equal when you import them"
            message = f"{name} is {_sizes(shape)} and {first_name} is {_sizes(first)}: one batch, one shape"
            raise BadData("ND0511", message, help=help)
        if size > min(shape[1:]):
            raise BadData("ND0520", f"{name} is {_sizes(shape)}, smaller than `crop_size: {size}`", field="crop_size")
        self._check_mean(shape, name)

    def _check_mean(self, shape: Sizes, name: str) -> None:
        values = self.transform.mean_values
        if self.mean is not None and self.mean.shape != shape:
            message = f"the mean image is {_sizes(self.mean.shape)} and {name} is {_sizes(shape)}"
            raise BadData("ND0522", message, field="mean_file")
        if len(values) > 1 and len(values) != shape[0]:
            found = f"{counted(len(values), 'mean_value')} for {counted(shape[0], 'channel')} of {name}"
            raise BadData("ND0522", f"{found}: give one, or one for each channel", field="mean_value")


def _copy(part: Array, target: Array, flip: np.bool_) -> None:
    """OpenCV flips several times faster than numpy copies backwards."""
    if not flip:
        target[:] = part
        return
    for plane, flipped in zip(part.astype(target.dtype, copy=False), target, strict=True):
        cv2.flip(plane, 1, dst=flipped)


def _sizes(shape: Sizes) -> str:
    return "x".join(map(str, shape))
