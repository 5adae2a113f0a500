"""Do crop, mirror, mean and scale do what Caffe's DataTransformer does?"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from netdef.data.device import finish
from netdef.data.faults import BadData
from netdef.data.transform import Transformer
from netdef.layers.data import Transform

RNG = np.random.default_rng(0)
CHANNELS, HEIGHT, WIDTH, NUM = 3, 9, 12, 5
MEANS = {"none": {}, "one": {"mean_values": (117.3,)}, "three": {"mean_values": (104.1, 117.0, 122.7)}, "image": {}}
CASES = list(product(MEANS, (0, 4, 7), (False, True), ("TRAIN", "TEST"), (1.0, 0.017)))


def naive(image: Any, transform: Transform, mean: Any, train: bool, draw: Any) -> Any:
    """One image, element by element, as the loops of data_transformer.cpp."""
    crop = transform.crop_size
    height, width = (crop, crop) if crop else (HEIGHT, WIDTH)
    y0 = x0 = 0
    if crop and train:
        y0, x0 = int(draw[1] * (HEIGHT - crop + 1)), int(draw[2] * (WIDTH - crop + 1))
    elif crop:
        y0, x0 = (HEIGHT - crop) // 2, (WIDTH - crop) // 2
    top = np.empty((CHANNELS, height, width), np.float32)
    for c, y, x in np.ndindex(top.shape):
        value = np.float32(image[c, y0 + y, x0 + x])
        if mean is not None:
            value = value - mean[c, y0 + y, x0 + x]
        elif transform.mean_values:
            value = value - np.float32(transform.mean_values[c if len(transform.mean_values) > 1 else 0])
        target = width - 1 - x if transform.mirror and draw[0] < 0.5 else x
        top[c, y, target] = value * np.float32(transform.scale)
    return top


@pytest.mark.parametrize(("means", "crop", "mirror", "phase", "scale"), CASES, ids=lambda value: str(value))
@pytest.mark.parametrize("dtype", [np.uint8, np.float32], ids=["bytes", "floats"])
def test_equals_a_naive_loop(means: str, crop: int, mirror: bool, phase: str, scale: float, dtype: Any) -> None:
    transform = Transform(scale=scale, mirror=mirror, crop_size=crop, **MEANS[means])
    mean = RNG.uniform(80, 160, (CHANNELS, HEIGHT, WIDTH)).astype(np.float32) if means == "image" else None
    images = RNG.integers(0, 256, (NUM, CHANNELS, HEIGHT, WIDTH)).astype(dtype)
    draws = RNG.random((NUM, 3))
    batch = Transformer(transform, phase == "TRAIN", mean).batch(list(images), draws, str)
    expected = np.stack([naive(i, transform, mean, phase == "TRAIN", d) for i, d in zip(images, draws, strict=True)])
    np.testing.assert_array_equal(batch.finish(), expected)
    np.testing.assert_array_equal(finish(batch).numpy(), expected)
    np.testing.assert_array_equal(finish(batch.settled()).numpy(), expected)
    assert batch.pixels.dtype == dtype, "bytes stay bytes on their way to the device"


@pytest.mark.gpu
def test_a_gpu_finishes_alike() -> None:
    """To the last bit: random crops, some flipped, less their parts of a mean image."""
    mean = RNG.uniform(80, 160, (CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    images = RNG.integers(0, 256, (NUM, CHANNELS, HEIGHT, WIDTH)).astype(np.uint8)
    transform = Transform(scale=0.0078125, mirror=True, crop_size=4)
    batch = Transformer(transform, True, mean).batch(list(images), RNG.random((NUM, 3)), str)
    assert torch.equal(finish(batch, "cuda", pin=True).cpu(), torch.from_numpy(batch.finish()))


def test_a_crop_makes_different_sizes_equal() -> None:
    images = [np.full((1, 5, 7), 1, np.uint8), np.full((1, 8, 6), 2, np.uint8)]
    batch = Transformer(Transform(crop_size=4), train=True).batch(images, RNG.random((2, 3)), str)
    assert batch.finish().shape == (2, 1, 4, 4)


REFUSED = {
    "sizes differ": (Transform(), [(1, 4, 4), (1, 4, 5)], None, "ND0511"),
    "channels differ": (Transform(crop_size=2), [(1, 4, 4), (3, 4, 4)], None, "ND0511"),
    "smaller than the crop": (Transform(crop_size=5), [(1, 6, 4)], None, "ND0520"),
    "mean image of another size": (Transform(crop_size=2), [(1, 4, 4)], (1, 2, 2), "ND0522"),
    "two means, three channels": (Transform(mean_values=(1, 2)), [(3, 4, 4)], None, "ND0522"),
}


@pytest.mark.parametrize(("transform", "shapes", "mean", "code"), REFUSED.values(), ids=REFUSED)
def test_refuses(transform: Transform, shapes: Any, mean: Any, code: str) -> None:
    images = [np.zeros(shape, np.uint8) for shape in shapes]
    transformer = Transformer(transform, False, None if mean is None else np.zeros(mean, np.float32))
    with pytest.raises(BadData, match=f"image {len(images) - 1}") as caught:
        transformer.batch(images, np.zeros((len(images), 3)), "image {}".format)
    assert caught.value.code == code
