"""Where does a pixel of one top lie in another? For crops that line nets of pixels up.

A map is (axis, scale, shift): a coordinate x of the layer's bottom is ``scale * x + shift`` in its top, along all axes
from `axis` on. Scale and shift are numbers, or arrays with one for each axis; an axis of None goes with any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from netdef.diagnostics import NetdefError, error
from netdef.pycaffe.net_spec import Function, Top, layers

Map = tuple[int | None, Any, Any]

_SAME: Map = (None, 1, 0)
_KEEPING = frozenset(
    """AbsVal BatchNorm Bias BNLL Clip Dropout Eltwise ELU Exp LRN Log MVN Power PReLU ReLU Scale Sigmoid Split Swish
    TanH Threshold""".split()  # noqa: SIM905 - shorter than twenty strings
)
_WINDOWED = ("Convolution", "Pooling", "Im2col")


class UndefinedMapException(Exception):
    """A layer's top has no coordinates of its bottom."""


class AxisMismatchException(Exception):
    """Two maps begin at different axes."""


def coord_map(fn: Function) -> Map:
    """The map of a layer from its bottom to its top.

    With stride s, padding p and kernel k that spans ``d (k - 1) + 1``: a window layer has the scale 1 / s and the shift
    ``(p - (k - 1) / 2) / s``, a Deconvolution s and ``(k - 1) / 2 - p``, a Crop 1 and minus its offset.

    Raises:
        UndefinedMapException: the layer has no such map.
    """
    if fn.type_name in _WINDOWED:
        axis, stride, kernel, pad = _window(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = _window(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = _offset(fn)
        return axis - 1, 1, -offset  # a window's axis is that of the channels, one before
    if fn.type_name in _KEEPING:
        return _SAME
    raise UndefinedMapException(fn.type_name)


def compose(base: Map, following: Map) -> Map:
    """The map that applies `base` to what `following` gives.

    Raises:
        AxisMismatchException: they begin at different axes.
    """
    (axis1, scale1, shift1), (axis2, scale2, shift2) = base, following
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"{axis1} and {axis2}")
    return axis2 if axis1 is None else axis1, scale1 * scale2, scale1 * shift2 + shift1


def inverse(coord_map: Map) -> Map:
    """The map the other way round."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from one top's coordinates to another's, by way of the nearest top that both come from.

    Raises:
        NetdefError: ND1014, no layers with coordinates join them.
        AxisMismatchException: the layers between work on different axes.
    """
    known = dict(_towards(top_from))
    for top, mapping in _towards(top_to):
        if top in known:
            return compose(mapping, inverse(known[top]))
    raise NetdefError([error("ND1014", "no layers with coordinates (Convolution, Pooling, …) join these two tops")])


def crop(top_from: Top, top_to: Top) -> Any:
    """A Crop layer that cuts `top_from` to `top_to`'s size, with the offset at which their pixels lie on each other.

    Raises:
        NetdefError: ND1014, they differ in scale, or the offset is negative or not whole.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    offset = -np.atleast_1d(shift)
    if np.any(np.asarray(scale) != 1):
        raise _uncroppable(f"their scales differ by {scale}")
    if np.any(offset < 0):
        raise _uncroppable(f"the offset would be negative: {offset.tolist()}")
    if np.any(offset != np.round(offset)):
        raise _uncroppable(f"the offset would not be whole: {offset.tolist()}")
    first = 2 if axis is None else axis + 1
    return layers.Crop(top_from, top_to, crop_param={"axis": first, "offset": [int(o) for o in offset]})


def _towards(top: Top) -> Iterator[tuple[Top, Map]]:
    """Each top that `top` is computed from, nearest first, with the map from its coordinates to those of `top`."""
    found: dict[Top, Map] = {top: _SAME}
    frontier = [top]
    while frontier:
        top = frontier.pop(0)
        yield top, found[top]
        try:
            mapping = coord_map(top.fn)
        except UndefinedMapException:
            continue
        sources = top.fn.inputs[:1] if top.fn.type_name == "Crop" else top.fn.inputs
        for source in sources:
            if source not in found:
                found[source] = compose(found[top], mapping)
                frontier.append(source)


def _window(fn: Function) -> tuple[int, Any, Any, Any]:
    """Axis, stride, kernel (with its dilation) and padding of a window layer."""
    own = "pooling_param" if fn.type_name == "Pooling" else "convolution_param"
    given = fn.params.get(own, fn.params)
    apart = [name for name in given if name.endswith(("_h", "_w"))]
    if apart:
        message = f"{fn.type_name}: `{apart[0]}` is not understood here"
        raise NetdefError([error("ND1014", message, help="give kernel_size, stride and pad as lists")])
    defaults = {"kernel_size": 1, "stride": 1, "pad": 0, "dilation": 1}
    kernel, stride, pad, dilation = (np.array(given.get(name, default)) for name, default in defaults.items())
    return given.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def _offset(fn: Function) -> tuple[int, Any]:
    given = fn.params.get("crop_param", fn.params)
    return given.get("axis", 2), np.array(given.get("offset", 0))


def _uncroppable(why: str) -> NetdefError:
    return NetdefError([error("ND1014", f"one top cannot be cropped to the other: {why}")])
