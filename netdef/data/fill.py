"""What values does a filler give? (numpy, for the blobs of DummyData.)"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from netdef.data.batch import Floats
from netdef.ir import Filler

Sizes = tuple[int, ...]


def fill(filler: Filler, shape: Sizes, rng: np.random.Generator) -> Floats:
    """A new array filled by Caffe's definition of the filler. Source: Caffe's filler.hpp."""
    return np.asarray(_FILLERS[filler.type](filler, shape, rng), np.float32).reshape(shape)


def _constant(filler: Filler, shape: Sizes, rng: np.random.Generator) -> Floats:
    return np.full(shape, filler.value, np.float32)


def _uniform(filler: Filler, shape: Sizes, rng: np.random.Generator) -> Floats:
    return rng.uniform(filler.min, filler.max, shape).astype(np.float32)


def _gaussian(filler: Filler, shape: Sizes, rng: np.random.Generator) -> Floats:
    """Where sparse, each value stays with probability ``sparse / shape[0]``, the others are 0."""
    values = rng.normal(filler.mean, filler.std, shape)
    if filler.sparse is not None:
        values *= rng.random(shape) < filler.sparse / shape[0]
    return values.astype(np.float32)


def _unitball(filler: Filler, shape: Sizes, rng: np.random.Generator) -> Floats:
    """Uniform, then each row (along the first axis) divided by its sum."""
    values = rng.random((shape[0], -1 if 0 in shape else math.prod(shape[1:])))
    return (values / values.sum(1, keepdims=True)).astype(np.float32)


def _xavier(filler: Filler, shape: Sizes, rng: np.random.Generator) -> Floats:
    limit = math.sqrt(3 / _fan(filler, shape))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def _msra(filler: Filler, shape: Sizes, rng: np.random.Generator) -> Floats:
    return rng.normal(0, math.sqrt(2 / _fan(filler, shape)), shape).astype(np.float32)


def _bilinear(filler: Filler, shape: Sizes, rng: np.random.Generator) -> Floats:
    """The weights that interpolate: ``(1 - |x / f - c|) (1 - |y / f - c|)``, f = ceil(W / 2), c = (2f - 1 - f % 2) / 2f."""
    f = math.ceil(shape[-1] / 2)
    weights = 1 - np.abs(np.arange(shape[-1]) / f - (2 * f - 1 - f % 2) / (2 * f))
    return np.broadcast_to(weights[:, None] * weights, shape).astype(np.float32)


def _fan(filler: Filler, shape: Sizes) -> float:
    """``count / shape[0]``, ``count / shape[1]``, or their mean."""
    count = math.prod(shape)
    fan_in, fan_out = count / shape[0], count / (shape[1] if len(shape) > 1 else 1)
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[filler.variance_norm]


_FILLERS: dict[str, Callable[[Filler, Sizes, np.random.Generator], Floats]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
