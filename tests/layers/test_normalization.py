"""LRN, BatchNorm, MVN: against plain formulas, shapes with unknown sizes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from netdef.nn import BatchNorm, lrn_across, lrn_within, mvn, normalization
from tests.layer_decoding import assert_mismatch, assert_refused, made, shapes
from tests.layer_running import run, run_onnx

LRN = 'type: "LRN" bottom: "x" top: "y" lrn_param'
BATCH_NORM = 'type: "BatchNorm" bottom: "x" top: "y"'
MVN = 'type: "MVN" bottom: "x" top: "y" mvn_param'

SHAPES = [
    ("lrn", f"{LRN} {{ }}", "?x3x?x5", "?x3x?x5"),
    ("lrn learns its rank", f"{LRN} {{ }}", "?", "?x?x?x?"),
    ("batch norm", BATCH_NORM, "2x3x?", "2x3x?"),
    ("mvn", f"{MVN} {{ }}", "2x3x?x5", "2x3x?x5"),
    ("mvn of three axes", f"{MVN} {{ }}", "2x3x?", "2x3x?x1"),
    ("mvn of rows", f"{MVN} {{ across_channels: true }}", "?x3", "?x3x1x1"),
    ("mvn learns its rank", f"{MVN} {{ }}", "?", "?x?x?x?"),
]


@pytest.mark.parametrize(("text", "bottom", "top"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape(text: str, bottom: str, top: str) -> None:
    assert made(text).infer(shapes(bottom)) == shapes(top)


MISMATCHES = [
    (f"{LRN} {{ }}", "2x3", "ND0411", "LRN works on blobs of 4 axes, found 2 (2x3)"),
    (BATCH_NORM, "scalar", "ND0411", "found a scalar"),
    (f"{MVN} {{ }}", "1x2x3x4x5", "ND0411", "MVN works on blobs of 1 to 4 axes, found 5"),
]


@pytest.mark.parametrize(("text", "bottom", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottom: str, code: str, message: str) -> None:
    assert_mismatch(text, bottom, code, message)


REFUSED = [
    (f"{LRN} {{ local_size: 4 }}", "ND0418", "4", "`local_size` must be odd, found 4"),
    (f"{LRN} {{ local_size: 0 }}", "ND0401", "0", "`local_size` must be at least 1, found 0"),
    (f"{BATCH_NORM} param {{ lr_mult: 0 }} param {{ lr_mult: 2 }}", "ND0424", "2", "must be 0, found 2"),
    (f"{BATCH_NORM} param {{ decay_mult: 0 }}", "ND0424", "param", "must be 0, found 1"),
]


@pytest.mark.parametrize(("text", "code", "spot", "message"), REFUSED)
def test_refused(text: str, code: str, spot: str, message: str) -> None:
    assert_refused(text, code, spot, message)


@pytest.mark.parametrize(
    ("bottom", "channels"), [("2x3x4", "3,"), ("2x3", "3,"), ("5,", "1,"), ("2x?", "?,"), ("?", "?,")]
)
def test_statistics(bottom: str, channels: str) -> None:
    specs = made(BATCH_NORM).params(shapes(bottom))
    assert [spec.name for spec in specs] == ["mean", "variance", "factor"]
    assert tuple(spec.shape for spec in specs) == shapes(f"{channels} {channels} 1,")
    assert all(spec.statistic for spec in specs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize(("size", "beta", "channels"), [(5, 0.75, 7), (3, 0.5, 4), (7, 0.75, 2), (1, 1.0, 3)])
def test_lrn_against_its_formula(size: int, beta: float, channels: int, layout: torch.memory_format) -> None:
    x = torch.randn(2, channels, 3, 4, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    near = [slice(max(0, c - size // 2), c + size // 2 + 1) for c in range(channels)]
    sums = torch.stack([x[:, part].square().sum(1) for part in near], 1)
    expected = x / (2 + 0.3 / size * sums) ** beta
    found = lrn_across(x, size, 0.3, beta, 2.0)
    torch.testing.assert_close(found, expected)
    (want,) = torch.autograd.grad(expected.sin().sum(), x)
    (have,) = torch.autograd.grad(found.sin().sum(), x)
    torch.testing.assert_close(have, want)


@pytest.mark.parametrize(
    "compute", [lambda x: mvn(x, (2, 3), 1e-9), lambda x: lrn_within(x, 3, 1.0, 0.75)], ids=["mvn", "lrn within"]
)
def test_short_floats_are_widened(compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Forward and back as in float32, rounded at the ends alone."""
    short = (100 + torch.randn(2, 3, 6, 6)).bfloat16().requires_grad_()
    wide = short.detach().float().requires_grad_()
    found, expected = compute(short), compute(wide)
    assert torch.equal(found, expected.bfloat16())
    found.backward(torch.ones_like(found))
    expected.backward(torch.ones_like(expected))
    torch.testing.assert_close(short.grad.float(), wide.grad, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "reach"), [(7, 2), (3, 2), (1, 2), (6, 0), (4, 5)])
def test_a_gpu_sums_neighbours_by_pooling(form: torch.memory_format, channels: int, reach: int) -> None:
    """The sums that the processor makes by adding shifted copies, laid out alike."""
    x = torch.randn(2, channels, 3, 5).contiguous(memory_format=form)
    found = normalization._pooled(x, reach)
    torch.testing.assert_close(found, normalization._neighbours(x, reach))
    assert found.is_contiguous(memory_format=form)


def test_lrn_of_bfloat16_sums_in_float32() -> None:
    x = torch.randn(1, 8, 4, 4).bfloat16()
    found = lrn_across(x, 5, 1.0, 0.75, 1.0)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, lrn_across(x.float(), 5, 1.0, 0.75, 1.0).bfloat16())


def test_batch_norm_counts_each_forward() -> None:
    module = BatchNorm(2, eps=1e-5, fraction=0.9, use_global_stats=False)
    batches = np.random.default_rng(0).standard_normal((3, 4, 2, 5)).astype(np.float32)
    mean, variance, factor = np.zeros(2), np.zeros(2), 0.0
    for x in batches:
        module(torch.from_numpy(x))
        mean = 0.9 * mean + x.mean((0, 2))
        variance = 0.9 * variance + x.var((0, 2), ddof=1)
        factor = 0.9 * factor + 1
    np.testing.assert_allclose(module.mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(module.variance, variance, rtol=1e-5)
    np.testing.assert_allclose(module.factor, [factor], rtol=1e-6)


def test_batch_norm_of_one_value_a_channel() -> None:
    module = BatchNorm(3, eps=1e-5, fraction=0.9, use_global_stats=False)
    x = torch.tensor([[1.3, -0.7, 1e4]], requires_grad=True)
    y = module(x, torch.full((3,), 2.0), torch.tensor([1.0, 2.0, 3.0]))
    y.square().sum().backward()
    assert y.tolist() == [[1, 2, 3]]  # the value less itself, and the bias
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 0, 0]]
    assert module.mean.tolist() == x[0].tolist()
    assert module.variance.tolist() == [0, 0, 0]


def test_batch_norm_of_one_axis_is_one_channel() -> None:
    x = torch.tensor([1.0, 3.0])
    (y,) = run(BATCH_NORM, x=x)
    torch.testing.assert_close(y, torch.tensor([-1.0, 1.0]))


def test_batch_norm_without_statistics_yet() -> None:
    module = BatchNorm(2, eps=0.25, fraction=0.9, use_global_stats=True)
    assert module(torch.ones(1, 2, 1, 1)).flatten().tolist() == [2, 2]
    assert module.factor.tolist() == [0]


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_the_phase_chooses_the_statistics(phase: str) -> None:
    (y,) = run(BATCH_NORM, phase, x=torch.tensor([[1.0], [3.0]]))  # type: ignore[arg-type]
    assert (y[0] < 0) == (phase == "TRAIN")


def test_mvn_adds_eps_to_the_deviation() -> None:
    x = torch.tensor([[[[1.0, 3.0]]]], requires_grad=True)
    y = mvn(x, (2, 3), 1.0)
    assert y.flatten().tolist() == [-0.5, 0.5]
    y.backward(torch.tensor([[[[1.0, 0.0]]]]))
    assert x.grad is not None
    # (dy - mean(dy) - y * mean(dy * y)) / (deviation + eps), with mean(dy * y) = -0.25
    assert x.grad.flatten().tolist() == [(0.5 - 0.125) / 2, (-0.5 + 0.125) / 2]


def test_mvn_of_a_flat_plane_has_a_gradient() -> None:
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    mvn(x, (2, 3), 1e-9).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("text", ["", "normalize_variance: false"])
def test_mvn_without_spatial_axes_is_zero(text: str) -> None:
    (y,) = run(f"{MVN} {{ {text} }}", x=torch.tensor([[1.0, 2.0]]))
    assert y.tolist() == [[[[0]], [[0]]]]


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("shape", [(2, 6), (2, 3, 2), (2, 3, 1, 2)], ids=str)
def test_mvn_across_channels_in_any_number_of_axes(shape: tuple[int, ...], opset: int) -> None:
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    rows = x.reshape(2, 6)
    expected = (rows - rows.mean(1, keepdims=True)) / (rows.std(1, keepdims=True) + 0.5)
    body = f"{MVN} {{ across_channels: true eps: 0.5 }}"
    for y in (run(body, x=torch.from_numpy(x))[0], run_onnx(body, x, opset=opset, unknown=(0,))[0]):
        assert y.shape == (*shape, 1, 1)[:4]
        np.testing.assert_allclose(y.reshape(2, 6), expected, rtol=1e-5, atol=1e-6)


# A power, or a factor of the squares, of 0 or less, which ONNX Runtime's own LRN refuses.
UNUSUAL = [(0.0, 0.75), (0.3, 0.0), (-0.01, 0.5), (0.3, -0.5), (0.0, 0.0)]


@pytest.mark.parametrize(("alpha", "beta"), UNUSUAL)
@pytest.mark.parametrize("opset", [13, 18])
def test_lrn_of_unusual_factors(alpha: float, beta: float, opset: int) -> None:
    x = np.random.default_rng(4).standard_normal((2, 5, 3, 2)).astype(np.float32)
    sums = np.stack([np.square(x[:, max(0, c - 1) : c + 2]).sum(1) for c in range(5)], 1)
    expected = x / (2 + alpha / 3 * sums) ** beta
    body = f"{LRN} {{ local_size: 3 alpha: {alpha} beta: {beta} k: 2 }}"
    for y in (run(body, x=torch.from_numpy(x))[0], run_onnx(body, x, opset=opset, unknown=(0, 2, 3))[0]):
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
