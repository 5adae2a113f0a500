"""How is onnx's own reference evaluator, the operators' definition as code, made right and fast enough to be asked?

Where it is wrong, or loops over every value in Python, an implementation of ours takes its place, written from the
operators' definitions: LRN (onnx 1.23 sums over the first channels only, as many as there are rows), BatchNormalization
(trains before opset 14), ConvTranspose (wrong with groups), GatherElements (fails where the axis is negative), MaxPool
and AveragePool (those of GoogLeNet took 44 s).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from operator import mul
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops import op_average_pool, op_conv_transpose, op_max_pool

Array = npt.NDArray[Any]

WORK_LIMIT = 2e10
"""Multiply-adds that the evaluator is asked for without being told to: a few seconds, and VGG-16 at batch size 1."""


def evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """The evaluator of a model."""
    return ReferenceEvaluator(
        model, new_ops=[LRN, BatchNormalization, GatherElements, ConvTranspose, MaxPool, AveragePool]
    )


class LRN(OpRun):
    """``x / (bias + alpha / size * sum of x^2 over the neighbours)^beta``."""

    op_domain = ""

    def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
        before, behind = (size - 1) // 2, ceil((size - 1) / 2)
        padded = np.pad(x * x, [(0, 0), (before, behind), *[(0, 0)] * (x.ndim - 2)])
        total = sliding_window_view(padded, size, axis=1).sum(-1)
        return ((x / (bias + alpha / size * total) ** beta).astype(x.dtype),)


class BatchNormalization(OpRun):
    """``scale * (x - mean) / sqrt(variance + epsilon) + bias``, each channel with the statistics given."""

    op_domain = ""

    def _run(self, x: Array, *channels: Array, epsilon: float, training_mode: int = 0, **_: Any) -> tuple[Array]:
        if training_mode or len(self.onnx_node.output) > 1:
            raise NotImplementedError("BatchNormalization that trains")
        scale, bias, mean, variance = (values.reshape(-1, *[1] * (x.ndim - 2)) for values in channels)
        return ((scale * (x - mean) / np.sqrt(variance + epsilon) + bias).astype(x.dtype),)


class GatherElements(OpRun):
    """The values at places along an axis, which may be counted from the end."""

    op_domain = ""

    def _run(self, x: Array, places: Array, axis: int) -> tuple[Array]:
        axis %= x.ndim
        near = tuple(slice(None) if i == axis else slice(size) for i, size in enumerate(places.shape))
        return (np.take_along_axis(x[near], places, axis),)


class ConvTranspose(op_conv_transpose.ConvTranspose):
    """Each value of the input lays the filter of its group, times itself, under its window."""

    op_domain = ""

    def _run(self, x: Array, weight: Array, bias: Array | None = None, **how: Any) -> Any:  # type: ignore[override]
        if _is_implicit(how) or how["output_shape"]:
            return super()._run(x, weight, bias, **how)  # type: ignore[no-untyped-call]
        walk = _walk(weight.shape[2:], how)
        more = how["output_padding"] or [0] * len(walk.kernel)
        sizes = zip(walk.strides, x.shape[2:], walk.extents, more, strict=True)
        full = [stride * (size - 1) + extent + extra for stride, size, extent, extra in sizes]
        laid = np.zeros((x.shape[0], weight.shape[1] * how["group"], *full), x.dtype)
        parts = (np.split(array, how["group"], axis) for array, axis in ((x, 1), (weight, 0), (laid, 1)))
        for values, filters, under in zip(*parts, strict=True):  # each `under` is a view of `laid`
            for place in product(*map(range, walk.kernel)):
                seen = (slice(None), slice(None), *walk.under(place, x.shape[2:]))
                under[seen] += np.einsum("ni...,io->no...", values, filters[(..., *place)])
        kept = (slice(first, size - last) for (first, last), size in zip(walk.pads, full, strict=True))
        found = laid[(slice(None), slice(None), *kept)]
        return (found if bias is None else found + bias.reshape(-1, *[1] * len(walk.kernel)),)


class MaxPool(op_max_pool.MaxPool):
    """The largest value under each window, and its place."""

    op_domain = ""

    def _run(self, x: Array, **how: Any) -> Any:  # type: ignore[override]
        if _is_implicit(how) or how["ceil_mode"] or how["storage_order"]:
            return super()._run(x, **how)  # type: ignore[no-untyped-call]
        walk = _walk(how["kernel_shape"], how)
        seen = walk.over(x, -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min)
        if len(self.onnx_node.output) < 2:
            return (seen.max(-1),)
        places = walk.over(np.arange(x.size).reshape(x.shape), -1)
        best = np.take_along_axis(places, seen.argmax(-1)[..., None], -1)
        return seen.max(-1), best[..., 0].astype(np.int64)


class AveragePool(op_average_pool.AveragePool_19):
    """The mean under each window, of what is there, or with `count_include_pad` of the padding too."""

    op_domain = ""

    def _run(self, x: Array, **how: Any) -> Any:  # type: ignore[override]
        if _is_implicit(how) or how["ceil_mode"]:
            return super()._run(x, **how)  # type: ignore[no-untyped-call]
        walk = _walk(how["kernel_shape"], how)
        there = np.ones((1, 1, *x.shape[2:]), x.dtype)
        counted = walk.over(there, 1 if how["count_include_pad"] else 0).sum(-1)
        return ((walk.over(x, 0).sum(-1) / counted).astype(x.dtype),)


def _is_implicit(how: Mapping[str, Any]) -> bool:
    """Whether the padding has to be worked out; netdef writes it out."""
    return how["auto_pad"] not in (None, "NOTSET")


@dataclass(frozen=True, slots=True)
class _Walk:
    """How a window walks: a number for each spatial axis, two of padding."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    @property
    def extents(self) -> tuple[int, ...]:
        """How far the window reaches."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def under(self, place: Sequence[int], sizes: Sequence[int]) -> Iterator[slice]:
        """What lies under one place of the window, at each of so many positions."""
        for start, step, count in zip(map(mul, self.dilations, place), self.strides, sizes, strict=True):
            yield slice(start, start + step * (count - 1) + 1, step)

    def over(self, x: Array, fill: float) -> Array:
        """The values under each window, in a row on the last axis."""
        axes = tuple(range(2, x.ndim))
        padded = np.pad(x, [(0, 0), (0, 0), *self.pads], constant_values=fill)
        seen = sliding_window_view(padded, self.extents, axis=axes)
        steps = (slice(None, None, step) for step in (*self.strides, *self.dilations))
        seen = seen[(slice(None), slice(None), *steps)]
        return seen.reshape(*seen.shape[: x.ndim], -1)


def _walk(kernel: Sequence[int], how: Mapping[str, Any]) -> _Walk:
    count = len(kernel)
    pads = how["pads"] or [0] * (2 * count)
    once = [1] * count
    return _Walk(
        tuple(kernel),
        tuple(how["strides"] or once),
        tuple(how.get("dilations") or once),
        tuple(zip(pads[:count], pads[count:], strict=True)),
    )
