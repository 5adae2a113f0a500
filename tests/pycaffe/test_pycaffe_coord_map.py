"""Are pixels of one top found in another?"""

# ruff: noqa: C408 - dict(…) is the idiom of net specifications

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import netdef.pycaffe as caffe
from netdef import NetdefError
from netdef.pycaffe import coord_map
from netdef.pycaffe import layers as L


def data() -> Any:
    return L.Input(shape=dict(dim=[1, 3, 20, 20]))


def conv(bottom: Any, kernel: int = 3, stride: int = 1, pad: int = 0, **more: Any) -> Any:
    return L.Convolution(bottom, num_output=2, kernel_size=kernel, stride=stride, pad=pad, **more)


def up(bottom: Any, kernel: int, stride: int, pad: int = 0) -> Any:
    return L.Deconvolution(bottom, convolution_param=dict(num_output=2, kernel_size=kernel, stride=stride, pad=pad))


CASES: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "a kernel takes half its reach": (lambda x: conv(x, 5), 1, -2),
    "padding gives it back": (lambda x: conv(x, 5, pad=2), 1, 0),
    "a stride": (lambda x: L.Pooling(x, kernel_size=2, stride=2), 1 / 2, -1 / 4),
    "dilation": (lambda x: conv(x, 3, dilation=2), 1, -2),
    "layers of points": (lambda x: L.ReLU(conv(x, 3)), 1, -1),
    "there and back": (lambda x: up(conv(x, 4, 4), 4, 4), 1, 0),
    "two strides": (lambda x: conv(conv(x, 3, 2), 3, 2), 1 / 4, -3 / 4),
}


@pytest.mark.parametrize(("build", "scale", "shift"), CASES.values(), ids=CASES)
def test_maps(build: Callable[[Any], Any], scale: float, shift: float) -> None:
    x = data()
    axis, a, b = coord_map.coord_map_from_to(x, build(x))
    assert axis == 1
    assert (float(a), float(b)) == pytest.approx((scale, shift))


def test_the_crop_of_an_fcn(tmp_path: Any) -> None:
    """Kernel 5, padding 6, stride 2 give x / 2 + 2; kernel 3, stride 2 of the way back 2 x' + 1: x + 5 in all."""
    n = caffe.NetSpec()
    n.data = data()
    n.conv = conv(n.data, 5, 2, 6)
    n.up = up(n.conv, 3, 2)
    axis, scale, shift = coord_map.coord_map_from_to(n.up, n.data)
    assert (axis, float(scale), float(shift)) == (1, 1, -5)
    n.score = coord_map.crop(n.up, n.data)
    layer = n.to_proto().layer[-1]
    assert (layer.type, layer.crop_param.axis, list(layer.crop_param.offset)) == ("Crop", 2, [5])
    path = tmp_path / "net.prototxt"
    path.write_text(str(n.to_proto()))
    net = caffe.Net(str(path), caffe.TEST)
    assert net.blobs["score"].shape == (1, 2, 20, 20)
    _, scale, shift = coord_map.coord_map_from_to(n.score, n.data)
    assert (float(scale), float(np.squeeze(shift))) == (1, 0)


def test_fcn32s_has_the_offset_of_its_publication() -> None:
    """FCN-32s on VGG16 pads by 100 and crops with offset 19 (the model's own prototxt)."""
    x = data()
    top = conv(x, 3, pad=100)
    for count in (1, 2, 3, 3, 3):
        for _ in range(count):
            top = L.ReLU(conv(top, 3, pad=1), in_place=True)
        top = L.Pooling(top, kernel_size=2, stride=2)
    fc7 = L.Dropout(conv(conv(top, 7), 1), in_place=True)
    made = coord_map.crop(up(fc7, 64, 32), x)
    assert made.fn.params["crop_param"] == {"axis": 2, "offset": [19]}


def of_data(build: Callable[[Any], object]) -> Callable[[], object]:
    return lambda: build(data())


ERRORS: dict[str, Callable[[], object]] = {
    "not joined": lambda: coord_map.coord_map_from_to(data(), data()),
    "across an InnerProduct": lambda: (lambda x: coord_map.coord_map_from_to(x, L.InnerProduct(x, num_output=2)))(
        data()
    ),
    "another scale": of_data(lambda x: coord_map.crop(x, conv(x, 2, 2))),
    "before the start": of_data(lambda x: coord_map.crop(conv(x, 3), x)),
    "half a pixel": of_data(lambda x: coord_map.crop(conv(x, 2, pad=1), x)),
    "height and width apart": of_data(lambda x: coord_map.crop(L.Pooling(x, kernel_h=3, kernel_w=2), x)),
}


@pytest.mark.parametrize("call", ERRORS.values(), ids=ERRORS)
def test_errors(call: Callable[[], object]) -> None:
    with pytest.raises(NetdefError) as caught:
        call()
    assert caught.value.diagnostics[0].code == "ND1014"
