"""Convolution, Deconvolution, Im2col: shapes with unknown sizes, parameters, cost, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, fx
from torch.nn import functional

from netdef.nn import im2col
from netdef.targets.torch import tensors
from tests.layer_decoding import assert_mismatch, assert_refused, decode, made, shapes
from tests.layer_running import built

CONV = 'type: "Convolution" bottom: "x" top: "y" convolution_param'
DECONV = 'type: "Deconvolution" bottom: "x" top: "y" convolution_param'
IM2COL = 'type: "Im2col" bottom: "x" top: "y" convolution_param'
TWO = (
    'type: "Convolution" bottom: "a" bottom: "b" top: "ya" top: "yb" convolution_param { num_output: 4 kernel_size: 3 }'
)

SHAPES = [
    ("plain", f"{CONV} {{ num_output: 4 kernel_size: 3 }}", "2x3x8x9", "2x4x6x7"),
    ("rounds down", f"{CONV} {{ num_output: 4 kernel_size: 3 stride: 2 pad: 1 }}", "2x3x8x9", "2x4x4x5"),
    ("rounds towards zero", f"{CONV} {{ num_output: 4 kernel_size: 3 stride: 2 }}", "2x3x2x3", "2x4x1x1"),
    ("columns round towards zero", f"{IM2COL} {{ kernel_size: 4 stride: 3 }}", "2x3x2x5", "2x48x1x1"),
    ("dilation", f"{CONV} {{ num_output: 4 kernel_size: 3 dilation: 2 }}", "2x3x8x9", "2x4x4x5"),
    ("a pair", f"{CONV} {{ num_output: 4 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 }}", "2x3x8x9", "2x4x8x9"),
    ("one axis", f"{CONV} {{ num_output: 4 kernel_size: 3 }}", "2x3x8", "2x4x6"),
    ("three axes", f"{CONV} {{ num_output: 4 kernel_size: 2 }}", "2x3x4x5x6", "2x4x3x4x5"),
    ("no spatial axis", f"{CONV} {{ num_output: 4 kernel_size: 1 }}", "2x3", "2x4"),
    ("no spatial axis, no kernel", f"{CONV} {{ num_output: 4 axis: 3 }}", "2x3x5x6", "2x3x5x4"),
    ("up, no kernel", f"{DECONV} {{ num_output: 4 }}", "2x3", "2x4"),
    ("channels on axis 2", f"{CONV} {{ num_output: 4 kernel_size: 3 axis: 2 }}", "2x5x3x8x9", "2x5x4x6x7"),
    ("axis from the end", f"{CONV} {{ num_output: 4 kernel_size: 3 axis: -3 }}", "3x8x9", "4x6x7"),
    ("unknown batch", f"{CONV} {{ num_output: 4 kernel_size: 3 }}", "?x3x8x9", "?x4x6x7"),
    ("unknown places", f"{CONV} {{ num_output: 4 kernel_size: 3 }}", "2x?x?x9", "2x4x?x7"),
    ("unknown shape", f"{CONV} {{ num_output: 4 kernel_size: 3 }}", "?", "?"),
    ("two bottoms", TWO, "2x3x8x9 ?x3x8x9", "2x4x6x7 2x4x6x7"),
    ("up", f"{DECONV} {{ num_output: 4 kernel_size: 4 stride: 2 pad: 1 }}", "2x3x8x9", "2x4x16x18"),
    ("up, dilated", f"{DECONV} {{ num_output: 4 kernel_size: 3 dilation: 2 }}", "2x3x4x?", "2x4x8x?"),
    ("columns", f"{IM2COL} {{ kernel_size: 3 stride: 2 }}", "?x3x6x7", "?x27x2x3"),
    ("columns, three axes", f"{IM2COL} {{ kernel_size: 2 }}", "2x3x4x5x6", "2x24x3x4x5"),
    ("columns, unknown channels", f"{IM2COL} {{ kernel_size: 2 }}", "2x?x4x5", "2x?x3x4"),
]


@pytest.mark.parametrize(("text", "bottoms", "tops"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape(text: str, bottoms: str, tops: str) -> None:
    assert made(text).infer(shapes(bottoms)) == shapes(tops)


PARAMS = [
    (f"{CONV} {{ num_output: 4 kernel_size: 3 }}", "2x6x8x9", "4x6x3x3 4,"),
    (f"{CONV} {{ num_output: 4 kernel_size: 3 group: 2 bias_term: false }}", "2x6x8x9", "4x3x3x3"),
    (f"{CONV} {{ num_output: 4 kernel_size: 3 }}", "2x?x8x9", "4x?x3x3 4,"),
    (f"{CONV} {{ num_output: 4 kernel_size: 3 }}", "?", "? 4,"),
    (f"{CONV} {{ num_output: 4 kernel_h: 1 kernel_w: 5 }}", "2x6x8x9", "4x6x1x5 4,"),
    (f"{CONV} {{ num_output: 4 group: 2 axis: 3 }}", "2x3x5x6", "4x3 4,"),
    (f"{DECONV} {{ num_output: 4 kernel_size: 3 group: 2 }}", "2x6x8x9", "6x2x3x3 4,"),
]


@pytest.mark.parametrize(("text", "bottom", "expected"), PARAMS)
def test_params(text: str, bottom: str, expected: str) -> None:
    specs = made(text).params(shapes(bottom))
    assert tuple(spec.shape for spec in specs) == shapes(expected)
    assert [spec.name for spec in specs] == ["weight", "bias"][: len(specs)]


COSTS = [
    (f"{CONV} {{ num_output: 96 kernel_size: 11 stride: 4 }}", "1x3x227x227", 55 * 55 * 96 * 3 * 11 * 11),
    (f"{CONV} {{ num_output: 256 kernel_size: 5 pad: 2 group: 2 }}", "2x96x27x27", 2 * 27 * 27 * 256 * 48 * 25),
    (f"{CONV} {{ num_output: 256 kernel_size: 5 }}", "?x96x27x27", None),
    (f"{DECONV} {{ num_output: 4 kernel_size: 3 group: 2 }}", "2x6x8x9", 2 * 6 * 8 * 9 * 2 * 9),
    (TWO, "2x3x8x9 2x3x8x9", 2 * (2 * 4 * 6 * 7) * 3 * 9),
]


@pytest.mark.parametrize(("text", "bottom", "expected"), COSTS)
def test_cost(text: str, bottom: str, expected: int | None) -> None:
    layer, bottoms = made(text), shapes(bottom)
    assert layer.cost(bottoms, layer.infer(bottoms)) == expected


MISMATCHES = [
    (f"{CONV} {{ num_output: 4 }}", "2x3x8", "ND0405", "`kernel_size` is missing, but the bottom's spatial axes are 1"),
    (
        f"{CONV} {{ num_output: 4 kernel_size: 7 }}",
        "2x3x8x6",
        "ND0410",
        "reaches over 7 at axis 3, the input has only 6",
    ),
    (
        f"{CONV} {{ num_output: 4 kernel_size: 4 stride: 2 }}",
        "2x3x2x3",
        "ND0410",
        "over 4 at axis 2, the input has only 2",
    ),
    (f"{CONV} {{ num_output: 4 kernel_size: 9 pad: 1 }}", "2x3x?x6", "ND0410", "the input has only 6 + 2 * 1"),
    (f"{CONV} {{ num_output: 4 kernel_size: 3 dilation: 4 }}", "2x3x8x8", "ND0410", "reaches over 9 at axis 2"),
    (f"{CONV} {{ num_output: 4 kernel_size: 3 group: 2 }}", "2x3x8x8", "ND0409", "has 3 channels, which `group: 2`"),
    (f"{CONV} {{ num_output: 4 kernel_size: 3 axis: 4 }}", "2x3x8x8", "ND0412", "`axis: 4` is out of range"),
    (
        f"{CONV} {{ num_output: 4 kernel_size: 3 kernel_size: 3 }}",
        "2x3x8",
        "ND0408",
        "`kernel_size` has 2 values, but the bottom's spatial axes are 1",
    ),
    (
        f"{CONV} {{ num_output: 2000000000 kernel_size: 3 }}",
        "2x3x8x8",
        "ND0413",
        "the weight would be 2000000000x3x3x3: 54000000000 values",
    ),
    (f"{CONV} {{ num_output: 2000000000 kernel_size: 1 }}", "9x1x8x8", "ND0413", "the top would be 9x2000000000x8x8"),
    (f"{CONV} {{ num_output: 4 kernel_size: 1 pad: 2000000000 }}", "1x1x8x8", "ND0413", "4000000008"),
    (f"{DECONV} {{ num_output: 4 kernel_size: 3 pad: 2 }}", "2x3x2x8", "ND0410", "1 * (2 - 1) + 3 - 2 * 2 = 0"),
    (TWO, "2x3x8x9 2x3x7x9", "ND0304", "Convolution inputs differ at axis 2: 8 and 7"),
    (f"{IM2COL} {{ kernel_size: 9 }}", "2x3x8x8", "ND0410", "reaches over 9"),
]


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


REFUSED = [
    (f"{CONV} {{ kernel_size: 3 }}", "ND0405", "convolution_param", "`num_output` is missing"),
    (f"{CONV} {{ num_output: 0 kernel_size: 3 }}", "ND0401", "0", "`num_output` must be at least 1, found 0"),
    (f"{CONV} {{ num_output: 4000000000 kernel_size: 3 }}", "ND0404", "4000000000", "`num_output` is 4000000000"),
    (f"{CONV} {{ num_output: 4 group: 0 kernel_size: 3 }}", "ND0401", "0", "`group` must be at least 1"),
    (f"{CONV} {{ num_output: 4 group: 3 kernel_size: 3 }}", "ND0409", "3", "`group` 3 does not divide `num_output` 4"),
    (
        f'{CONV} {{ num_output: 4 kernel_size: 1 weight_filler {{ type: "xavjer" }} }}',
        "ND0403",
        '"xavjer"',
        "unknown filler type",
    ),
    (
        f'{CONV} {{ num_output: 4 kernel_size: 1 weight_filler {{ type: "uniform" min: 2 max: 1 }} }}',
        "ND0426",
        "2",
        "`min` must be at most `max` (1), found 2",
    ),
    (
        f'{CONV} {{ num_output: 4 kernel_size: 1 weight_filler {{ type: "gaussian" std: -1 }} }}',
        "ND0426",
        "-1",
        "`std` must be at least 0, found -1",
    ),
    (
        f"{CONV} {{ num_output: 4 kernel_size: 1 bias_filler {{ value: inf }} }}",
        "ND0426",
        "inf",
        "`value` must be a finite number, found inf",
    ),
]


@pytest.mark.parametrize(("text", "code", "spot", "message"), REFUSED)
def test_refused(text: str, code: str, spot: str, message: str) -> None:
    assert_refused(text, code, spot, message)


def test_every_error_in_one_run() -> None:
    _, found = decode(f"{CONV} {{ num_output: 0 kernel_size: 0 stride: 0 }}")
    assert [(d.code, d.span.text if d.span else "") for d in found] == [("ND0401", "0")] * 3


def test_in_words() -> None:
    assert made(f"{CONV} {{ num_output: 64 kernel_size: 3 pad: 1 }}").describe() == "64 outputs, kernel 3, pad 1"


@pytest.mark.parametrize("kernel", [(3,), (2, 3), (2, 1, 2)], ids=str)
def test_im2col_against_a_loop(kernel: tuple[int, ...]) -> None:
    num_axes = len(kernel)
    stride, pad, dilation = (2, 1, 1)[:num_axes], (1, 0, 1)[:num_axes], (1, 2, 2)[:num_axes]
    x = np.random.default_rng(0).standard_normal((2, 2, *(5, 6, 4)[:num_axes])).astype(np.float32)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    y = im2col(torch.from_numpy(x), kernel, stride, pad, dilation).numpy()
    for n, channel, *rest in np.ndindex(2, 2, *kernel, *y.shape[2:]):
        offset, place = rest[:num_axes], rest[num_axes:]
        row = int(np.ravel_multi_index((channel, *offset), (2, *kernel)))
        at = [o * s + k * d for o, s, k, d in zip(place, stride, offset, dilation, strict=True)]
        assert y[(n, row, *place)] == padded[(n, channel, *at)]


@pytest.mark.parametrize(("kind", "rows"), [("Convolution", "oc"), ("Deconvolution", "co")])
def test_without_spatial_axes_it_multiplies_by_the_weight(kind: str, rows: str) -> None:
    filler = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'
    body = f'type: "{kind}" bottom: "x" top: "y" convolution_param {{ num_output: 4 axis: 2 {filler} }}'
    x = np.random.default_rng(1).standard_normal((2, 5, 3)).astype(np.float32)
    module, graph = built(body, x=x.shape)
    weight, bias = (tensor.detach().numpy() for tensor in tensors(module, graph).values())
    expected = np.einsum(f"nmc,{rows}->nmo", x, weight) + bias
    np.testing.assert_allclose(module(x=torch.from_numpy(x))["y"].detach(), expected, rtol=1e-5, atol=1e-6)


FOUR = (
    "kernel_size: 2 kernel_size: 1 kernel_size: 2 kernel_size: 3 stride: 2 stride: 1 stride: 1 stride: 2 pad: 1 pad: 0"
)
FOUR += " pad: 1 pad: 1 dilation: 2 dilation: 1 dilation: 1 dilation: 1 group: 2"


def of_four_axes(kind: str, num_output: int, sizes: tuple[int, ...]) -> tuple[fx.GraphModule, Tensor, Tensor]:
    filler = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'
    body = f'type: "{kind}" bottom: "x" top: "y" convolution_param {{ num_output: {num_output} {FOUR} {filler} }}'
    module, graph = built(body, x=sizes)
    weight, bias = tensors(module, graph).values()
    return module.double(), weight, bias


def test_convolution_over_four_axes_is_a_sum_over_three() -> None:
    module, weight, bias = of_four_axes("Convolution", 6, (2, 4, 4, 2, 3, 5))
    x = torch.randn(2, 4, 4, 2, 3, 5, dtype=torch.float64)
    padded = functional.pad(x, (0, 0, 0, 0, 0, 0, 1, 1))
    options = {"stride": (1, 1, 2), "padding": (0, 1, 1), "groups": 2}
    expected = [
        sum(functional.conv3d(padded[:, :, 2 * place + 2 * k], weight[:, :, k].double(), **options) for k in range(2))
        for place in range(2)
    ]
    y = module(x=x)["y"]
    torch.testing.assert_close(y, torch.stack(expected, 2) + bias.double().reshape(-1, 1, 1, 1, 1))


def test_deconvolution_over_four_axes_is_the_transpose() -> None:
    sizes = (2, 4, 3, 2, 3, 5)
    convolution, weight, bias = of_four_axes("Convolution", 6, sizes)
    x = torch.randn(sizes, dtype=torch.float64)
    y = convolution(x=x)["y"] - bias.reshape(-1, 1, 1, 1, 1)
    deconvolution, same, shift = of_four_axes("Deconvolution", 4, tuple(y.shape))
    with torch.no_grad():
        same.copy_(weight)
    other = torch.randn_like(y)
    z = deconvolution(x=other)["y"] - shift.reshape(-1, 1, 1, 1, 1)
    assert z.shape == x.shape
    torch.testing.assert_close((y * other).sum(), (x * z).sum())
