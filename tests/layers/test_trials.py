"""Fields and shapes drawn at random: netdef's layers against their definitions, written as plain loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.layer_trials import Trial, hold

Array = NDArray[Any]
Sizes = list[int]
Rng = np.random.Generator

TRIALS = 8
"""For each layer; a seed of its own each, so that a failure is had again by its number."""


def number(rng: Rng, low: int, high: int) -> int:
    """From `low` to `high`, both among them."""
    return int(rng.integers(low, high + 1))


def sizes(rng: Rng, count: int, low: int = 1, high: int = 4) -> Sizes:
    return [number(rng, low, high) for _ in range(count)]


def normal(rng: Rng, shape: Sizes) -> Array:
    return np.asarray(rng.standard_normal(shape), np.float32)


def signed(rng: Rng, axis: int, rank: int) -> int:
    """The axis from the front or from the end."""
    return axis - rank * number(rng, 0, 1)


def repeated(name: str, values: Sizes) -> str:
    return " ".join(f"{name}: {value}" for value in values)


# Windows: the value of `kernel` place k under window place o stands at o * stride - pad + k * dilation.


class Window:
    def __init__(self, rng: Rng, num_axes: int) -> None:
        self.kernel, self.stride = sizes(rng, num_axes, high=3), sizes(rng, num_axes, high=3)
        self.pad, self.dilation = sizes(rng, num_axes, low=0, high=2), sizes(rng, num_axes, high=2)

    @property
    def extent(self) -> Sizes:
        return [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]

    def __str__(self) -> str:
        fields = {"kernel_size": self.kernel, "stride": self.stride, "pad": self.pad, "dilation": self.dilation}
        return " ".join(repeated(name, values) for name, values in fields.items())

    def fitting(self, rng: Rng) -> Sizes:
        """Sizes of a blob that has room for a window, but for less than the stride."""
        room = zip(self.extent, self.pad, self.stride, strict=True)
        return [max(1, e - 2 * p + number(rng, 1 - s, 3)) for e, p, s in room]

    def places(self, blob: Sizes) -> Sizes:
        """How many windows there are."""
        room = zip(blob, self.pad, self.extent, self.stride, strict=True)
        return [int((size + 2 * p - e) / s) + 1 for size, p, e, s in room]

    def spread(self, blob: Sizes) -> Sizes:
        """The blob whose windows are so many."""
        room = zip(blob, self.pad, self.extent, self.stride, strict=True)
        return [s * (size - 1) + e - 2 * p for size, p, e, s in room]

    def pairs(self, blob: Sizes, places: Sizes) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
        """Each place of the blob under a window: window, place in the kernel, place in the blob."""
        for o, k in product(np.ndindex(*places), np.ndindex(*self.kernel)):
            at = tuple(
                a * s - p + b * d for a, b, s, p, d in zip(o, k, self.stride, self.pad, self.dilation, strict=True)
            )
            if all(0 <= i < size for i, size in zip(at, blob, strict=True)):
                yield o, k, at


def filters(rng: Rng, *, transposed: bool) -> Trial:
    """Convolution or Deconvolution, of several bottoms, in groups, with its channels on any axis."""
    num_axes, axis, group = number(rng, 0, 3), number(rng, 0, 2), number(rng, 1, 2)
    window, leading = Window(rng, num_axes), sizes(rng, axis, high=2)
    channels, outputs = group * number(rng, 1, 2), group * number(rng, 1, 2)
    small = sizes(rng, num_axes, high=3) if transposed else []
    large = window.spread(small) if transposed else window.fitting(rng)
    while transposed and min(large, default=1) < 1:
        window.pad = [max(0, p - 1) for p in window.pad]
        large = window.spread(small)
    small = small if transposed else window.places(large)
    spatial, tops = (small, large) if transposed else (large, small)

    def one(x: Array, weight: Array, bias: Array) -> Array:
        x = x.reshape(-1, channels, *spatial)
        y = np.zeros((len(x), outputs, *tops)) + bias.reshape(-1, *[1] * num_axes)
        for c, o in product(range(channels), range(outputs)):
            if c // (channels // group) != o // (outputs // group):
                continue
            for place, k, at in window.pairs(large, small):
                if transposed:
                    y[(slice(None), o, *at)] += weight[(c, o % (outputs // group), *k)] * x[(slice(None), c, *place)]
                else:
                    y[(slice(None), o, *place)] += weight[(o, c % (channels // group), *k)] * x[(slice(None), c, *at)]
        return y.reshape(*leading, outputs, *tops)

    kind = "Deconvolution" if transposed else "Convolution"
    shape = [*leading, channels, *spatial]
    fields = f"num_output: {outputs} {window} group: {group} axis: {signed(rng, axis, len(shape))}"
    bottoms = [normal(rng, shape) for _ in range(number(rng, 1, 2))]
    layer = f"type: '{kind}' convolution_param {{ {fields} }}"
    return Trial(layer, lambda xs, ps: [one(x, *ps) for x in xs], bottoms, num_tops=len(bottoms))


def convolution(rng: Rng) -> Trial:
    return filters(rng, transposed=False)


def deconvolution(rng: Rng) -> Trial:
    return filters(rng, transposed=True)


def im2col(rng: Rng) -> Trial:
    num_axes, axis = number(rng, 1, 3), number(rng, 0, 2)
    window, leading, channels = Window(rng, num_axes), sizes(rng, axis, high=2), number(rng, 1, 3)
    spatial = window.fitting(rng)
    places = window.places(spatial)

    def define(xs: list[Array], ps: list[Array]) -> list[Array]:
        x = xs[0].reshape(-1, channels, *spatial)
        y = np.zeros((len(x), channels, *window.kernel, *places))
        for place, k, at in window.pairs(spatial, places):
            y[(slice(None), slice(None), *k, *place)] = x[(slice(None), slice(None), *at)]
        return [y.reshape(*leading, channels * prod(window.kernel), *places)]

    shape = [*leading, channels, *spatial]
    fields = f"{window} axis: {signed(rng, axis, len(shape))}"
    return Trial(f"type: 'Im2col' convolution_param {{ {fields} }}", define, [normal(rng, shape)])


def crop(rng: Rng) -> Trial:
    rank = number(rng, 1, 5)
    axis, shape = number(rng, 0, rank - 1), sizes(rng, rank, high=5)
    cut = [number(rng, 1, size) for size in shape[axis:]]
    offset = [number(rng, 0, size - part) for size, part in zip(shape[axis:], cut, strict=True)]
    parts = tuple(slice(o, o + part) for o, part in zip(offset, cut, strict=True))
    reference = np.zeros((*sizes(rng, axis), *cut), np.float32)
    layer = f"type: 'Crop' crop_param {{ axis: {axis} {repeated('offset', offset)} }}"
    bottoms = [normal(rng, shape), reference]
    return Trial(layer, lambda xs, ps: [xs[0][(slice(None),) * axis + parts]], bottoms, fixed=1)


def flatten(rng: Rng) -> Trial:
    shape = sizes(rng, number(rng, 1, 5))
    axis = number(rng, 0, len(shape) - 1)
    end = number(rng, max(axis - 1, 0), len(shape) - 1)
    top = [*shape[:axis], prod(shape[axis : end + 1]), *shape[end + 1 :]]
    fields = f"axis: {signed(rng, axis, len(shape))} end_axis: {signed(rng, end, len(shape))}"
    layer = f"type: 'Flatten' flatten_param {{ {fields} }}"
    return Trial(layer, lambda xs, ps: [xs[0].reshape(top)], [normal(rng, shape)])


def reshape(rng: Rng) -> Trial:
    """The replaced axes in reverse order; one of them may be worked out, one that stays in its place copied."""
    shape = sizes(rng, number(rng, 1, 5))
    start = number(rng, 0, len(shape))
    end = number(rng, start, len(shape))
    middle = [*reversed(shape[start:end]), *[1] * number(rng, 0, 1)]
    written = [0 if start + i < len(shape) and shape[start + i] == d else d for i, d in enumerate(middle)]
    if written and number(rng, 0, 1):
        written[number(rng, 0, len(written) - 1)] = -1
    top = [*shape[:start], *middle, *shape[end:]]
    fields = f"axis: {start - (len(shape) + 1) * number(rng, 0, 1)} num_axes: {end - start}"
    layer = f"type: 'Reshape' reshape_param {{ shape {{ {repeated('dim', written)} }} {fields} }}"
    return Trial(layer, lambda xs, ps: [xs[0].reshape(top)], [normal(rng, shape)])


def concat(rng: Rng) -> Trial:
    shape = sizes(rng, number(rng, 1, 5))
    axis = number(rng, 0, len(shape) - 1)
    parts = [[*shape[:axis], number(rng, 1, 3), *shape[axis + 1 :]] for _ in range(number(rng, 1, 3))]
    layer = f"type: 'Concat' concat_param {{ axis: {signed(rng, axis, len(shape))} }}"
    return Trial(layer, lambda xs, ps: [np.concatenate(xs, axis)], [normal(rng, part) for part in parts])


def slice_(rng: Rng) -> Trial:
    shape = sizes(rng, number(rng, 1, 5))
    axis, count = number(rng, 0, len(shape) - 1), number(rng, 1, 3)
    cuts = [int(cut) for cut in np.cumsum(sizes(rng, count, high=3))]
    shape[axis] = cuts.pop()
    fields = f"axis: {signed(rng, axis, len(shape))} {repeated('slice_point', cuts)}"
    layer = f"type: 'Slice' slice_param {{ {fields} }}"
    return Trial(layer, lambda xs, ps: np.split(xs[0], cuts, axis), [normal(rng, shape)], num_tops=count)


def affine(rng: Rng, kind: str) -> Trial:
    """Scale or Bias, along some axes, by a parameter or a second bottom."""
    shape = sizes(rng, number(rng, 1, 5))
    axis = number(rng, 0, len(shape) - 1)
    end = number(rng, axis, len(shape))
    learned, biased = bool(number(rng, 0, 1)), kind == "Scale" and bool(number(rng, 0, 1))
    behind = len(shape) - end

    def define(xs: list[Array], ps: list[Array]) -> list[Array]:
        along = [factor.reshape((*factor.shape, *[1] * (behind if factor.ndim else 0))) for factor in (*xs[1:], *ps)]
        y = xs[0] * along[0] if kind == "Scale" else xs[0] + along[0]
        return [y + along[1] if biased else y]

    fields = f"axis: {signed(rng, axis, len(shape))}" + f" num_axes: {end - axis}" * learned
    layer = f"type: '{kind}' {kind.lower()}_param {{ {fields} {'bias_term: true' if biased else ''} }}"
    return Trial(layer, define, [normal(rng, shape), *([] if learned else [normal(rng, shape[axis:end])])])


def scale(rng: Rng) -> Trial:
    return affine(rng, "Scale")


def bias(rng: Rng) -> Trial:
    return affine(rng, "Bias")


def inner_product(rng: Rng) -> Trial:
    shape = sizes(rng, number(rng, 1, 5))
    axis, outputs, transposed = number(rng, 0, len(shape) - 1), number(rng, 1, 4), bool(number(rng, 0, 1))

    def define(xs: list[Array], ps: list[Array]) -> list[Array]:
        rows = xs[0].reshape(-1, prod(shape[axis:]))
        return [(rows @ (ps[0] if transposed else ps[0].T) + ps[1]).reshape(*shape[:axis], outputs)]

    fields = f"num_output: {outputs} axis: {signed(rng, axis, len(shape))} transpose: {str(transposed).lower()}"
    return Trial(f"type: 'InnerProduct' inner_product_param {{ {fields} }}", define, [normal(rng, shape)])


REDUCED: dict[str, Callable[[Array], Array]] = {
    "SUM": lambda rows: rows.sum(-1),
    "ASUM": lambda rows: abs(rows).sum(-1),
    "SUMSQ": lambda rows: (rows * rows).sum(-1),
    "MEAN": lambda rows: rows.mean(-1),
}


def reduction(rng: Rng) -> Trial:
    shape, operation = sizes(rng, number(rng, 1, 5)), str(rng.choice(list(REDUCED)))
    axis, coeff = number(rng, 0, len(shape) - 1), number(rng, -2, 2) / 2
    fields = f"operation: {operation} axis: {signed(rng, axis, len(shape))} coeff: {coeff}"
    layer = f"type: 'Reduction' reduction_param {{ {fields} }}"

    def define(xs: list[Array], ps: list[Array]) -> list[Array]:
        return [np.asarray(coeff * REDUCED[operation](xs[0].reshape(*shape[:axis], -1)))]

    return Trial(layer, define, [normal(rng, shape)])


def arg_max(rng: Rng) -> Trial:
    """Of few different values, so that many are equal: the larger index comes first."""
    shape, values = sizes(rng, number(rng, 1, 5)), bool(number(rng, 0, 1))
    axis = number(rng, -1, len(shape) - 1)  # -1 for none
    top_k = number(rng, 1, prod(shape[1:]) if axis < 0 else shape[axis])

    def best(row: Array) -> Array:
        return np.array(sorted(((value, i) for i, value in enumerate(row)), reverse=True)[:top_k]).T

    def define(xs: list[Array], ps: list[Array]) -> list[Array]:
        if axis >= 0:
            return [np.apply_along_axis(lambda row: best(row)[0 if values else 1], axis, xs[0])]
        found = [best(row)[::-1][: 1 + values] for row in xs[0].reshape(shape[0], -1)]
        return [np.stack(found).reshape(shape[0], 1 + values, top_k, *[1] * (len(shape) - 3))]

    fields = f"top_k: {top_k} out_max_val: {str(values).lower()}"
    fields += f" axis: {signed(rng, axis, len(shape))}" if axis >= 0 else ""
    x = rng.integers(-1, 2, shape).astype(np.float32)
    return Trial(f"type: 'ArgMax' argmax_param {{ {fields} }}", define, [x], smooth=False)


MODES = ("FULL", "VALID", "BATCH_SIZE", "NONE")


def softmax_loss(rng: Rng) -> Trial:
    """With labels ignored, the classes on any axis, and each way to count."""
    shape = sizes(rng, number(rng, 2, 4), low=2)
    axis, mode, ignore = number(rng, 1, len(shape) - 1), str(rng.choice(MODES)), number(rng, 0, 2)
    rest = [*shape[:axis], *shape[axis + 1 :]]
    labels = rng.integers(0, shape[axis], rest).astype(np.float32)

    def define(xs: list[Array], ps: list[Array]) -> list[Array]:
        rows = np.moveaxis(xs[0], axis, -1).reshape(-1, shape[axis])
        logs = rows - np.log(np.exp(rows).sum(1, keepdims=True))
        kept = [(row, int(label)) for row, label in zip(logs, labels.ravel(), strict=True) if label != ignore]
        by = {"FULL": len(rows), "VALID": len(kept), "BATCH_SIZE": prod(shape[:axis]), "NONE": 1}[mode]
        return [np.array(-sum(row[label] for row, label in kept) / max(by, 1))]

    fields = f"softmax_param {{ axis: {signed(rng, axis, len(shape))} }}"
    layer = f"type: 'SoftmaxWithLoss' {fields} loss_param {{ ignore_label: {ignore} normalization: {mode} }}"
    return Trial(layer, define, [normal(rng, shape), labels], fixed=1, exported=False)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def recurrent(rng: Rng, kind: str) -> Trial:
    """With sequences that begin anywhere, and perhaps a static input."""
    steps, streams, width, inputs = sizes(rng, 4, high=3)
    static = number(rng, 0, 3)

    def define(xs: list[Array], ps: list[Array]) -> list[Array]:
        x, cont, *more = xs
        projected = x.reshape(steps, streams, -1) @ ps[0].T + ps[1]
        if more:
            projected = projected + more[0] @ ps[2].T
        weight, *output = ps[2 + bool(static) :]
        h, c, hidden = np.zeros((streams, width)), np.zeros((streams, width)), []
        for step, goes_on in zip(projected, cont[..., None], strict=True):
            gates = step + goes_on * h @ weight.T
            if kind == "LSTM":
                i, f, o, g = np.split(gates, 4, 1)
                c = goes_on * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                h = np.tanh(gates)
            hidden.append(h)
        return [np.tanh(np.stack(hidden) @ output[0].T + output[1]) if output else np.stack(hidden)]

    cont = rng.integers(0, 2, (steps, streams)).astype(np.float32)
    layer = f"type: '{kind}' recurrent_param {{ num_output: {width} }}"
    more = [normal(rng, [streams, static])] if static else []
    return Trial(layer, define, [normal(rng, [steps, streams, inputs]), cont, *more], fixed=1)


def lstm(rng: Rng) -> Trial:
    return recurrent(rng, "LSTM")


def rnn(rng: Rng) -> Trial:
    return recurrent(rng, "RNN")


FAMILIES: list[Callable[[Rng], Trial]] = [
    convolution,
    deconvolution,
    im2col,
    crop,
    flatten,
    reshape,
    concat,
    slice_,
    scale,
    bias,
    inner_product,
    reduction,
    arg_max,
    softmax_loss,
    lstm,
    rnn,
]


@pytest.mark.parametrize("draw", FAMILIES, ids=lambda draw: draw.__name__.rstrip("_"))
def test_agrees_with_its_definition(draw: Callable[[Rng], Trial]) -> None:
    for seed in range(TRIALS):
        rng = np.random.default_rng(seed)
        trial = draw(rng)
        try:
            hold(trial, rng)
        except Exception as fault:
            fault.add_note(f"trial {seed}: {trial.prototxt}")
            raise
