"""The first values of a blob, by Caffe's fillers. Source of every formula: Caffe's filler.hpp."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, prod, sqrt

import numpy as np
from numpy.typing import NDArray

from netdef.ir.filler import Filler

Array = NDArray[np.float32]


def fill(filler: Filler, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A float32 array of `shape`, filled by Caffe's definition of `filler`, but not from its random stream."""
    return _FILLERS[filler.type](filler, shape, rng)


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Caffe's fan-in and fan-out of a stored shape: count / shape[0] and count / shape[1] (count, with one axis)."""
    count = prod(shape)
    return count / shape[0] if shape else 1.0, count / shape[1] if len(shape) > 1 else float(count)


def _constant(filler: Filler, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return np.full(shape, filler.value, np.float32)


def _uniform(filler: Filler, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    values = rng.random(shape, np.float32)
    return values * np.float32(filler.max - filler.min) + np.float32(filler.min)


def _gaussian(filler: Filler, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """N(mean, std); with `sparse`, each value is kept with probability sparse / shape[0]."""
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(filler.std)
    values += np.float32(filler.mean)
    if filler.sparse is not None:
        values *= rng.random(shape, np.float32) < filler.sparse / shape[0]
    return values


def _positive_unitball(filler: Filler, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """U(0, 1), each row along the first axis divided by its sum."""
    values = rng.random(shape, np.float32)
    rows = values.reshape(shape[0], -1)
    rows /= rows.sum(axis=1, keepdims=True)
    return values


def _xavier(filler: Filler, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """U(-a, a), a = sqrt(3 / n) (Glorot and Bengio 2010)."""
    limit = np.float32(sqrt(3.0 / _variance_scale(filler, shape)))
    return rng.random(shape, np.float32) * (2 * limit) - limit


def _msra(filler: Filler, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """N(0, sqrt(2 / n)) (He et al. 2015)."""
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(sqrt(2.0 / _variance_scale(filler, shape)))
    return values


def _bilinear(filler: Filler, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """The kernel that makes a Deconvolution interpolate: (1 - |x / f - c|)(1 - |y / f - c|)."""
    width = shape[-1]
    factor = ceil(width / 2)
    centre = (width - 1) / (2 * factor)
    profile = 1 - np.abs(np.arange(width) / factor - centre)
    return np.broadcast_to(np.outer(profile, profile), shape).astype(np.float32)


def _variance_scale(filler: Filler, shape: tuple[int, ...]) -> float:
    fan_in, fan_out = fans(shape)
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[filler.variance_norm]


_FILLERS: dict[str, Callable[[Filler, tuple[int, ...], np.random.Generator], Array]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
