"""What does a BatchNorm, Scale, Bias or Power do to each channel, and which weights let another layer do it as well?

All in float64: the folded weights are rounded once, when the last layer is in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdef.ir import Node, Shape
from netdef.layers.affine import Bias, Scale
from netdef.layers.arithmetic import Power
from netdef.layers.axes import canonical
from netdef.layers.convolution import Convolution, Deconvolution, placed
from netdef.layers.inner_product import InnerProduct
from netdef.layers.normalization import BatchNorm

Array = NDArray[Any]
Arrays = Mapping[str, Array]

Host = Convolution | Deconvolution | InnerProduct
"""A layer that can do such work with weights of its own."""


@dataclass(frozen=True, slots=True)
class Affine:
    """``y = scale * x + shift`` along one axis of x; along none (`axis` None) both are scalars."""

    scale: Array
    shift: Array
    axis: int | None

    def after(self, first: Affine) -> Affine:
        """This one behind another, which must run along the same axis or along none."""
        axis = first.axis if self.axis is None else self.axis
        return Affine(self.scale * first.scale, self.scale * first.shift + self.shift, axis)

    def agrees(self, other: Affine) -> bool:
        """Whether two run along one axis, a scalar along any."""
        return self.axis == other.axis or None in (self.axis, other.axis)


def affine(node: Node, arrays: Arrays) -> Affine | None:
    """What a node does to each channel; None if it is of another kind."""
    if len(node.bottoms) != 1 or not node.bottoms[0].shape.ranked:
        return None
    layer, shape = node.layer, node.bottoms[0].shape
    if isinstance(layer, Power):
        return _power(layer)
    if not isinstance(layer, BatchNorm | Scale | Bias):
        return None
    held = [arrays[param.id].astype(np.float64) for param in node.params]
    if isinstance(layer, BatchNorm):
        return _batch_norm(layer, shape, held)
    if held[0].ndim > 1:
        return None
    axis = canonical(layer.span.axis, shape) if held[0].ndim else None
    scale = held[0] if isinstance(layer, Scale) else np.ones_like(held[0])
    shift = held[-1] if isinstance(layer, Bias) or len(held) == 2 else np.zeros_like(held[0])
    return Affine(scale, shift, axis)


def _power(layer: Power) -> Affine | None:
    if layer.power != 1 or layer.inner.scale == 0:
        return None
    return Affine(np.array(layer.inner.scale, np.float64), np.array(layer.inner.shift, np.float64), None)


def _batch_norm(layer: BatchNorm, shape: Shape, held: list[Array]) -> Affine | None:
    """``(x - mean) / sqrt(variance + eps)``, the sums divided by their factor, or 0 where that is 0."""
    if not layer.use_global_stats:
        return None
    mean, variance, factor = held
    share = 0.0 if factor[0] == 0 else 1.0 / factor[0]
    scale = 1.0 / np.sqrt(variance * share + layer.eps)
    shift = -mean * share * scale
    return Affine(scale, shift, 1) if shape.rank > 1 else Affine(scale[0], shift[0], None)


def behind(layer: Host, x: Shape, weight: Array, bias: Array, done: Affine) -> tuple[Array, Array] | None:
    """Weight and bias of a layer that does its work on x and then `done`; None where none can."""
    if done.axis not in (None, canonical(layer.axis, x)):
        return None
    scale, shift = (np.broadcast_to(values, (layer.num_output,)) for values in (done.scale, done.shift))
    if isinstance(layer, Deconvolution):
        grouped = weight.reshape(layer.group, -1, *weight.shape[1:])
        factors = scale.reshape(layer.group, 1, -1, *[1] * (weight.ndim - 2))
        weight = (grouped * factors).reshape(weight.shape)
    elif isinstance(layer, InnerProduct) and layer.transpose:
        weight = weight * scale
    else:
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight, bias * scale + shift


def ahead(layer: Host, x: Shape, weight: Array, bias: Array, done: Affine) -> tuple[Array, Array] | None:
    """Weight and bias of a layer that does `done` to x and then its work; None where none can.

    A shift before a convolution that pads is none: the padding is not shifted.
    """
    if isinstance(layer, InnerProduct):
        return _ahead_of_inner_product(layer, x, weight, bias, done)
    axis, window = placed(layer, x)
    channels = x[axis]
    pads = any(window.pad) or any(layer.beyond(window, x.sizes[axis + 1 :]))
    transposed = isinstance(layer, Deconvolution)
    if channels is None or done.axis not in (None, axis) or (done.shift.any() and (pads or transposed)):
        return None
    scale, shift = (np.broadcast_to(values, (channels,)) for values in (done.scale, done.shift))
    if transposed:
        return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), bias
    grouped = weight.reshape(layer.group, -1, *weight.shape[1:])
    factors, shifts = (v.reshape(layer.group, 1, -1, *[1] * (weight.ndim - 2)) for v in (scale, shift))
    added = (grouped * shifts).reshape(weight.shape[0], -1).sum(1)
    return (grouped * factors).reshape(weight.shape), bias + added


def _ahead_of_inner_product(
    layer: InnerProduct, x: Shape, weight: Array, bias: Array, done: Affine
) -> tuple[Array, Array] | None:
    first = canonical(layer.axis, x)
    row = Shape(x.sizes[first:])
    if not row.known or (done.axis is not None and done.axis < first):
        return None
    behind = [1] * (x.rank - done.axis - 1) if done.axis is not None else []
    scale, shift = (_laid_out(values, behind, row.known_sizes()) for values in (done.scale, done.shift))
    if layer.transpose:
        return weight * scale[:, None], bias + shift @ weight
    return weight * scale, bias + weight @ shift


def _laid_out(values: Array, behind: list[int], sizes: tuple[int, ...]) -> Array:
    """One value for each of a row that spans several axes, the channels being before the axes `behind`."""
    return np.broadcast_to(values.reshape((*values.shape, *behind)), sizes).ravel()
