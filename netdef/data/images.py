"""How does an image file become an array? By OpenCV, as in Caffe: blue, green, red."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from netdef.data.faults import BadData

NATIVE = cv2.IMREAD_UNCHANGED
COLOR = cv2.IMREAD_COLOR
GRAY = cv2.IMREAD_GRAYSCALE


def decode_image(file: bytes, mode: int, what: str) -> NDArray[np.uint8]:
    """The image (C, H, W) in the bytes of a file (JPEG, PNG …), as OpenCV decodes it in that mode.

    NATIVE keeps the file's own channels (an alpha channel too), COLOR makes three, GRAY one. BadData ND0513 when the
    bytes are no image, or one with more than 8 bits a channel. Source: Caffe's io.cpp, DecodeDatumToCVMat.
    """
    return _channels_first(decode_pixels(file, mode, what))


def decode_pixels(file: bytes, mode: int, what: str) -> NDArray[np.uint8]:
    """The same with the channels last, (H, W, C) or (H, W), as OpenCV has them."""
    if not file:
        raise BadData("ND0513", f"{what}: an empty file")
    try:
        image: Any = cv2.imdecode(np.frombuffer(file, np.uint8), mode)
    except cv2.error as fault:
        raise BadData("ND0513", f"{what}: OpenCV cannot decode it: {fault.err}") from fault
    if image is None:
        raise BadData("ND0513", f"{what}: {len(file):,} bytes that are no image OpenCV knows")
    if image.dtype != np.uint8:
        raise BadData("ND0513", f"{what}: {image.dtype} pixels; Caffe's transforms take 8 bits a channel only")
    return np.asarray(image, np.uint8)


def read_image(path: Path, size: tuple[int, int] | None, mode: int, what: str) -> NDArray[np.uint8]:
    """The image (C, H, W) in a file, resized to (height, width) where given.

    BadData ND0531 when the file cannot be read, ND0513 when it is no image. Source: Caffe's io.cpp, ReadImageToCVMat:
    bilinear, cv::resize's default.
    """
    image = decode_image(read_file(path, what), mode, what)
    return image if size is None else resize(image, size)


def read_file(path: Path, what: str) -> bytes:
    """The bytes of a file; BadData ND0531 when the system refuses."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as fault:
        raise BadData("ND0531", f"{what}: cannot read {path}: {getattr(fault, 'strerror', None) or fault}") from fault


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image (C, H, W) made (height, width) by bilinear interpolation."""
    if image.shape[1:] == size:
        return image
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    return _channels_first(np.asarray(cv2.resize(pixels, (size[1], size[0])), np.uint8))


def _channels_first(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.ndim == 2:
        return image[None]
    planes = np.empty((image.shape[2], *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))  # several times faster than a transposed copy
    return planes
