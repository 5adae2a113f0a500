"""How are images read and resized with the numbers that pycaffe's scripts expect?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from netdef.diagnostics import NetdefError, error
from netdef.pycaffe.memory import Floats

Sizes = Sequence[int] | NDArray[np.integer[Any]]
_GREY = np.array([0.2125, 0.7154, 0.0721])
"""What red, green and blue count in luminance (Rec. 709, as scikit-image takes them)."""
_METHODS = {0: cv2.INTER_NEAREST_EXACT, 1: cv2.INTER_LINEAR, 3: cv2.INTER_CUBIC}


def load_image(filename: str | os.PathLike[str], color: bool = True) -> Floats:
    """An image file as H x W x 3 (RGB), or H x W x 1 with `color=False`, float32 from 0 to 1.

    8 and 16 bits are divided by their largest value; transparency is dropped; grey is 0.2125 R + 0.7154 G + 0.0721 B.
    Decoded by OpenCV, where pycaffe has scikit-image: a JPEG's values may differ by 1/255 here and there.

    Raises:
        NetdefError: ND0010, there is no such file; ND1010, it is no image.
    """
    pixels = _decoded(filename)
    if pixels.ndim == 2:
        grey = pixels[:, :, np.newaxis]
        return np.tile(grey, (1, 1, 3)) if color else grey
    rgb = pixels[:, :, 2::-1]
    return np.ascontiguousarray(rgb if color else (rgb @ _GREY)[:, :, np.newaxis], np.float32)


def resize_image(im: NDArray[Any], new_dims: Sizes, interp_order: int = 1) -> Floats:
    """An image (H x W x K) in new sizes (height, width): by nearest pixels, linear (1) or cubic (3) interpolation.

    One and three channels: pixels are areas, so that corners move inwards (as OpenCV and scikit-image do), without
    smoothing when an image shrinks, which scikit-image adds from 0.15 on; at the border the last pixel goes on, where
    old scikit-image let zeros in. Other numbers of channels: pixels are points, and the corners stay where they are.

    Raises:
        NetdefError: ND1010, the order is another.
    """
    height, width = (int(size) for size in new_dims[:2])
    if interp_order not in _METHODS:
        raise NetdefError([error("ND1010", f"resize_image knows the orders 0, 1 and 3, found {interp_order}")])
    values = np.asarray(im, np.float32)
    if not values.size or min(height, width) < 1:
        raise NetdefError([error("ND1010", f"an image {values.shape} cannot be resized to {(height, width)}")])
    if values.shape[-1] not in (1, 3):
        return _between_points(values, (height, width), interp_order)
    resized = cv2.resize(values, (width, height), interpolation=_METHODS[interp_order])
    return np.asarray(resized, np.float32).reshape(height, width, values.shape[-1])


def oversample(images: Sequence[NDArray[Any]], crop_dims: Sizes) -> Floats:
    """Ten crops of each image (H x W x K), 10 N x h x w x K in all.

    Top left, top right, bottom left, bottom right, the centre, then these five mirrored.
    """
    height, width = (int(size) for size in crop_dims[:2])
    crops = []
    for image in images:
        tops, lefts = image.shape[0] - height, image.shape[1] - width
        middle = (int(image.shape[0] / 2 - height / 2), int(image.shape[1] / 2 - width / 2))
        places = [(0, 0), (0, lefts), (tops, 0), (tops, lefts), middle]
        five = [image[top : top + height, left : left + width] for top, left in places]
        crops += five + [crop[:, ::-1] for crop in five]
    return np.array(crops, np.float32)


def _decoded(filename: str | os.PathLike[str]) -> Floats:
    """H x W or H x W x (B, G, R[, A]), 0 to 1."""
    try:
        data = Path(filename).read_bytes()
    except OSError as fault:
        raise NetdefError([error("ND0010", f"cannot read {os.fspath(filename)}: {fault.strerror}")]) from fault
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None:
        raise NetdefError([error("ND1010", f"{os.fspath(filename)} is no image that OpenCV can read")])
    if pixels.dtype.kind == "u":
        return np.asarray(pixels / np.iinfo(pixels.dtype).max, np.float32)
    return np.asarray(pixels, np.float32)


def _between_points(values: Floats, sizes: tuple[int, int], order: int) -> Floats:
    """Interpolate along height, then width, with the first and last points kept."""
    if order == 3:
        raise NetdefError([error("ND1010", "cubic interpolation is for images of one or three channels")])
    for axis, size in enumerate(sizes):
        places = np.linspace(0, values.shape[axis] - 1, size)
        if order == 0:
            values = np.take(values, np.floor(places + 0.5).astype(int), axis)
            continue
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        share = (places - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values.astype(np.float32)
