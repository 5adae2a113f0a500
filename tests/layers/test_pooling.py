"""Pooling and SPP: Caffe's windows against plain loops, shapes with unknown sizes, and what is refused."""

from __future__ import annotations

from itertools import product
from math import ceil, floor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netdef.layers import Unsupported
from netdef.nn import global_max_pool2d_with_mask, max_pool2d_with_mask, stochastic_pool2d
from tests.layer_decoding import assert_mismatch, assert_refused, made, shapes
from tests.layer_running import run, run_onnx

POOL = 'type: "Pooling" bottom: "x" top: "y" pooling_param'
MASKED = 'type: "Pooling" bottom: "x" top: "y" top: "mask" pooling_param'
SPP = 'type: "SPP" bottom: "x" top: "y" spp_param'

SHAPES = [
    ("rounds up", f"{POOL} {{ kernel_size: 3 stride: 2 }}", "2x3x6x8", "2x3x3x4"),
    ("rounds down", f"{POOL} {{ kernel_size: 3 stride: 2 round_mode: FLOOR }}", "2x3x6x8", "2x3x2x3"),
    ("AlexNet's pool1", f"{POOL} {{ kernel_size: 3 stride: 2 }}", "1x96x55x55", "1x96x27x27"),
    ("unlike torch", f"{POOL} {{ kernel_size: 1 stride: 3 }}", "1x1x15x14", "1x1x6x6"),
    ("last window dropped", f"{POOL} {{ kernel_size: 2 stride: 2 pad: 1 }}", "1x1x4x5", "1x1x3x3"),
    ("for the other axis's pad", f"{POOL} {{ kernel_size: 2 stride: 3 pad_h: 0 pad_w: 1 }}", "1x1x6x5", "1x1x2x2"),
    ("larger than the blob, but rounds up", f"{POOL} {{ kernel_size: 3 stride: 2 }}", "1x1x2x2", "1x1x1x1"),
    ("global", f"{POOL} {{ pool: AVE global_pooling: true }}", "2x3x6x8", "2x3x1x1"),
    ("global, unknown", f"{POOL} {{ pool: AVE global_pooling: true }}", "?", "?x?x1x1"),
    ("unknown batch and width", f"{POOL} {{ kernel_size: 3 stride: 2 }}", "?x3x6x?", "?x3x3x?"),
    ("unknown shape", f"{POOL} {{ kernel_size: 3 stride: 2 }}", "?", "?x?x?x?"),
    ("mask", f"{MASKED} {{ kernel_size: 3 stride: 2 }}", "2x3x6x8", "2x3x3x4 2x3x3x4"),
    ("pyramid", f"{SPP} {{ pyramid_height: 3 }}", "2x2x9x7", "2x42"),
    ("pyramid of one", f"{SPP} {{ pyramid_height: 1 }}", "2x3x4x5", "2x3x1x1"),
    ("pyramid, unknown sizes", f"{SPP} {{ pyramid_height: 3 }}", "?x2x?x?", "?x42"),
    ("pyramid, unknown channels", f"{SPP} {{ pyramid_height: 2 }}", "2x?x4x4", "2x?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "bottom", "tops"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape(text: str, bottom: str, tops: str) -> None:
    assert made(text).infer(shapes(bottom)) == shapes(tops)


MISMATCHES = [
    (f"{POOL} {{ kernel_size: 3 }}", "2x3x8", "ND0411", "Pooling works on blobs of 4 axes, found 3 (2x3x8)"),
    (f"{POOL} {{ kernel_size: 7 }}", "2x3x8x6", "ND0410", "reaches over 7 at axis 3, the input has only 6"),
    (f"{POOL} {{ kernel_size: 3 stride: 2 round_mode: FLOOR }}", "1x1x2x2", "ND0410", "the input has only 2"),
    (f"{POOL} {{ kernel_size: 2000000000 }}", "1x1x9x9", "ND0410", "reaches over 2000000000"),
    (f"{SPP} {{ pyramid_height: 3 }}", "1x1x5x9", "ND0425", "has 4 bins at axis 2, too many for a size of 5"),
    (f"{SPP} {{ pyramid_height: 15 }}", "9x999x?x?", "ND0413", "the top would be"),
]


@pytest.mark.parametrize(("text", "bottom", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottom: str, code: str, message: str) -> None:
    assert_mismatch(text, bottom, code, message)


REFUSED = [
    (f"{POOL} {{ kernel_size: 2 pad: 2 }}", "ND0414", "2", "`pad` 2 must be smaller than the kernel, 2"),
    (f"{POOL} {{ kernel_size: 3 pad_h: 1 pad_w: 4 }}", "ND0414", "4", "`pad_w` 4 must be smaller than the kernel, 3"),
    (f"{POOL} {{ global_pooling: true kernel_size: 3 }}", "ND0415", "3", "`kernel_size` cannot stand beside"),
    (f"{POOL} {{ global_pooling: true stride: 2 }}", "ND0415", "2", "`stride` must be 1, found 2"),
    (f"{POOL} {{ pool: STOCHASTIC kernel_size: 3 pad: 1 }}", "ND0416", "1", "STOCHASTIC pooling takes no padding"),
    (f"{MASKED} {{ pool: AVE kernel_size: 3 }}", "ND0417", '"mask"', "only MAX pooling has a second top"),
    (f"{SPP} {{ }}", "ND0405", "spp_param", "`pyramid_height` is missing"),
    (f"{SPP} {{ pyramid_height: 40 }}", "ND0404", "40", "2^39 bins"),
]


@pytest.mark.parametrize(("text", "code", "spot", "message"), REFUSED)
def test_refused(text: str, code: str, spot: str, message: str) -> None:
    assert_refused(text, code, spot, message)


WORDS = [
    ("kernel_size: 3 stride: 2", "kernel 3, stride 2, rounds up", 'set `round_mode: FLOOR` in "pool1" to round down'),
    ("kernel_size: 3 stride: 2 round_mode: FLOOR", "kernel 3, stride 2, rounds down", ""),
    ("kernel_size: 3 pad: 1", "kernel 3, pad 1, rounds up", ""),
    ("global_pooling: true", "global", ""),
]


@pytest.mark.parametrize(("text", "words", "hint"), WORDS)
def test_in_words(text: str, words: str, hint: str) -> None:
    layer = made(f"{POOL} {{ {text} }}")
    assert layer.describe() == words
    assert layer.hint("pool1").endswith(hint)
    assert bool(layer.hint("pool1")) == bool(hint)


Pair = tuple[int, int]


def loops(x: NDArray[np.float32], k: Pair, s: Pair, p: Pair, mode: str, method: str) -> NDArray[np.float32]:
    """Two tops of plain loops over Caffe's windows: what is pooled, and MAX's mask."""
    sizes = [_count(size, *numbers, mode, p) for size, *numbers in zip(x.shape[2:], k, s, p, strict=True)]
    tops = np.full((2, *x.shape[:2], *sizes), -1, np.float32)
    for n, c, i, j in np.ndindex(*tops.shape[1:]):
        h, w = i * s[0] - p[0], j * s[1] - p[1]
        part = x[n, c, max(h, 0) : h + k[0], max(w, 0) : w + k[1]]
        if method == "AVE":
            size = (min(h + k[0], x.shape[2] + p[0]) - h) * (min(w + k[1], x.shape[3] + p[1]) - w)
            tops[0, n, c, i, j] = part.sum() / size if size else np.nan
        elif part.size:
            row, column = np.unravel_index(part.argmax(), part.shape)
            tops[0, n, c, i, j] = part.max()
            tops[1, n, c, i, j] = (row + max(h, 0)) * x.shape[3] + column + max(w, 0)
        else:
            tops[0, n, c, i, j] = np.finfo(np.float32).min
    return tops


def _count(size: int, k: int, s: int, p: int, mode: str, pads: Pair) -> int:
    steps = (size + 2 * p - k) / s
    count = (ceil(steps) if mode == "CEIL" else floor(steps)) + 1
    return count - 1 if any(pads) and (count - 1) * s >= size + p else count


WINDOWS = [
    (k, s, p, mode)
    for k, s, mode in product(((1, 2), (3, 3), (2, 5)), ((1, 1), (2, 2), (3, 1), (4, 3)), ("CEIL", "FLOOR"))
    for p in ((0, 0), (k[0] - 1, 0), (0, k[1] - 1), (k[0] // 2, k[1] // 2))
]


def body(head: str, k: Pair, s: Pair, p: Pair, mode: str, method: str) -> str:
    sizes = f"kernel_h: {k[0]} kernel_w: {k[1]} stride_h: {s[0]} stride_w: {s[1]} pad_h: {p[0]} pad_w: {p[1]}"
    return f"{head} {{ pool: {method} {sizes} round_mode: {mode} }}"


@pytest.mark.parametrize("method", ["MAX", "AVE", "mask"])
@pytest.mark.parametrize(("height", "width"), [(5, 6), (7, 5), (8, 9)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_torch_against_loops(height: int, width: int, method: str, layout: torch.memory_format) -> None:
    head, kind = (MASKED, "MAX") if method == "mask" else (POOL, method)
    x = np.random.default_rng(height).integers(-3, 3, (2, 2, height, width)).astype(np.float32)
    for window in WINDOWS:
        expected = loops(x, *window, kind)
        found = run(body(head, *window, kind), x=torch.from_numpy(x).contiguous(memory_format=layout))
        for top, values in zip(found, expected, strict=False):
            np.testing.assert_allclose(top, values, rtol=1e-5, atol=1e-6, err_msg=str(window))


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_onnx_with_unknown_sizes(method: str, opset: int) -> None:
    x = np.random.default_rng(1).standard_normal((2, 2, 7, 8), np.float32)
    for window in WINDOWS[::3]:
        kernel, stride, pad, mode = window
        layer = body(POOL, *window, method)
        if mode == "CEIL" and not any(pad) and any(s > k for s, k in zip(stride, kernel, strict=True)):
            with pytest.raises(Unsupported, match="stride larger than its kernel"):
                run_onnx(layer, x, opset=opset, unknown=(0, 2, 3))
            continue
        (found,) = run_onnx(layer, x, opset=opset, unknown=(0, 2, 3))
        np.testing.assert_allclose(found, loops(x, *window, method)[0], rtol=1e-5, atol=1e-6, err_msg=str(window))


def test_onnx_mask_of_empty_windows() -> None:
    x = np.random.default_rng(2).standard_normal((1, 2, 6, 5), np.float32)
    window = ((1, 2), (3, 3), (0, 0), "CEIL")
    found = run_onnx(body(MASKED, *window, "MAX"), x, opset=13, unknown=(0,))
    np.testing.assert_allclose(found, loops(x, *window, "MAX"))


GRADIENTS = [((3, 3), (2, 2), (0, 0), "CEIL"), ((3, 3), (1, 1), (2, 2), "CEIL"), ((1, 2), (3, 3), (0, 0), "CEIL")]


@pytest.mark.parametrize("window", GRADIENTS, ids=["torch's own", "pad over half", "empty windows"])
def test_the_first_of_equals_gets_the_gradient(window: tuple[Pair, Pair, Pair, str]) -> None:
    x = np.random.default_rng(3).integers(0, 2, (1, 1, 6, 5)).astype(np.float32)
    leaf = torch.from_numpy(x).requires_grad_()
    run(body(POOL, *window, "MAX"), x=leaf)[0].sum().backward()
    places = loops(x, *window, "MAX")[1].astype(int).ravel()
    assert leaf.grad is not None
    np.testing.assert_array_equal(leaf.grad.ravel(), np.bincount(places[places >= 0], minlength=30))


def test_the_first_of_equals_gets_the_gradient_of_global_pooling() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    run(f"{POOL} {{ global_pooling: true }}", x=x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [1, *[0] * 15]


def test_an_empty_window_has_no_gradient() -> None:
    x = torch.ones(1, 1, 15, 14, requires_grad=True)
    (y,) = run(f"{POOL} {{ kernel_size: 1 stride: 3 }}", x=x)
    assert torch.equal(y[0, 0, -1], torch.full((6,), torch.finfo(torch.float32).min))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.sum() == 25


STOCHASTIC = f"{POOL} {{ pool: STOCHASTIC kernel_size: 2 stride: 2 }}"


def test_stochastic_weighs_in_test() -> None:
    x = torch.tensor([[[[1.0, 3.0, 2.0], [0.0, 4.0, 5.0]]]])
    (y,) = run(STOCHASTIC, "TEST", x=x)
    torch.testing.assert_close(y, torch.tensor([[[[26 / 8, 29 / 7]]]]))
    (onnx,) = run_onnx(STOCHASTIC, x.numpy(), opset=13, unknown=(0,))
    np.testing.assert_allclose(onnx, y)


def test_stochastic_draws_in_train() -> None:
    x = torch.tensor([1.0, 3.0, 0.0, 4.0]).reshape(1, 1, 2, 2).expand(4000, 1, 2, 2).clone().requires_grad_()
    torch.manual_seed(0)
    y = stochastic_pool2d(x, (2, 2), (2, 2), (0, 0), training=True)
    shares = [(y == value).float().mean().item() for value in (1, 3, 0, 4)]
    np.testing.assert_allclose(shares, [1 / 8, 3 / 8, 0, 4 / 8], atol=0.03)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal((x.grad * x).sum((2, 3)), y[..., 0, 0])


@pytest.mark.parametrize("whole", [False, True])
def test_places_are_exact_in_short_floats(whole: bool) -> None:
    """bfloat16 has 8 bits: 257 of them and 258 would be one place."""
    x = torch.zeros(1, 1, 20, 20, dtype=torch.bfloat16)
    x[0, 0, 13, 17] = 1
    top, place = global_max_pool2d_with_mask(x) if whole else max_pool2d_with_mask(x, (20, 20), (1, 1), (0, 0), (0, 0))
    assert (top.dtype, place.dtype, place.item()) == (torch.bfloat16, torch.float32, 13 * 20 + 17)
