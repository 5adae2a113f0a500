"""The losses beyond the goldens: other axes, refusals, labels that are none, half precision; against loops in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netdef.diagnostics import NetdefError
from netdef.nn import (
    InfogainMatrix,
    LabelError,
    contrastive_loss,
    euclidean_loss,
    hinge_loss,
    infogain_loss,
    multinomial_logistic_loss,
    sigmoid_cross_entropy_loss,
    softmax_loss,
)
from netdef.schema import weights_pb2
from tests.layer_decoding import assert_mismatch, decode, made, shapes

Array = NDArray[Any]
ENDS = 'bottom: "x" bottom: "label" top: "loss"'
SOFTMAX = f'type: "SoftmaxWithLoss" {ENDS}'
RNG = np.random.default_rng(7)


def naive_softmax_loss(x: Array, labels: Array, axis: int, ignore: int | None, mode: str) -> float:
    axis %= x.ndim
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]).astype(np.float64)
    total, valid = 0.0, 0
    for row, label in zip(rows, labels.reshape(-1).astype(int), strict=True):
        if label == ignore:
            continue
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        total -= np.log(max(p[label], np.finfo(np.float32).tiny))
        valid += 1
    outer = int(np.prod(x.shape[:axis]))
    return total / max({"FULL": len(rows), "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}[mode], 1)


@pytest.mark.parametrize("mode", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("ignore", [None, 1, 255])
@pytest.mark.parametrize(("size", "axis"), [((4, 3), 1), ((4, 3), 0), ((5,), 0), ((2, 3, 4), -1), ((2, 3, 4, 5, 2), 2)])
def test_softmax_loss(size: tuple[int, ...], axis: int, ignore: int | None, mode: Any) -> None:
    x = RNG.normal(size=size).astype(np.float32)
    count = x.size // x.shape[axis]
    labels = RNG.choice([0, 1, 2] if ignore is None else [0, 2, ignore], count).astype(np.float32)
    loss = softmax_loss(torch.from_numpy(x), torch.from_numpy(labels), axis, ignore, mode)
    np.testing.assert_allclose(loss, naive_softmax_loss(x, labels, axis, ignore, mode), rtol=1e-5)


def test_all_ignored_is_zero_with_a_zero_gradient() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    loss = softmax_loss(x, torch.full((2,), 255.0), ignore_label=255)
    loss.backward()
    assert (loss.item(), x.grad.abs().sum().item()) == (0.0, 0.0)  # type: ignore[union-attr]


def test_the_log_is_clamped_and_the_gradient_is_not() -> None:
    x = torch.tensor([[0.0, 500.0], [float("-inf"), 0.0]], requires_grad=True)
    loss = softmax_loss(x, torch.tensor([0.0, 0.0]))
    loss.backward()
    np.testing.assert_allclose(loss.item(), -np.log(np.finfo(np.float32).tiny), rtol=1e-6)
    np.testing.assert_allclose(x.grad, [[-0.5, 0.5], [-0.5, 0.5]])


def test_channels_last_and_half_precision_give_the_float32_loss() -> None:
    x, labels = torch.randn(2, 5, 3, 3), torch.randint(0, 5, (2, 3, 3)).float()
    expected = softmax_loss(x, labels)
    torch.testing.assert_close(softmax_loss(x.to(memory_format=torch.channels_last), labels), expected)
    assert softmax_loss(x.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize("ignore", [None, 0, -1])
def test_sigmoid_cross_entropy(ignore: int | None) -> None:
    x = (RNG.normal(size=(4, 3)) * 30).astype(np.float32)
    t = RNG.choice([-1.0, 0.0, 0.7, 1.0] if ignore == -1 else [0.0, 0.7, 1.0], (4, 3)).astype(np.float32)
    counted = np.ones_like(t, bool) if ignore is None else np.trunc(t) != ignore
    x64 = x.astype(np.float64)
    each = np.maximum(x64, 0) - x64 * t + np.log1p(np.exp(-abs(x64)))
    for mode, by in (("BATCH_SIZE", 4), ("VALID", max(counted.sum(), 1)), ("FULL", 12), ("NONE", 1)):
        loss = sigmoid_cross_entropy_loss(torch.from_numpy(x), torch.from_numpy(t), ignore, mode)  # type: ignore[arg-type]
        np.testing.assert_allclose(loss, each[counted].sum() / by, rtol=1e-5)


@pytest.mark.parametrize("axis", [1, -1, 0])
def test_infogain_with_the_identity_is_softmax_loss(axis: int) -> None:
    x, labels = torch.randn(3, 3, 3), torch.randint(0, 3, (9,)).float()
    expected = naive_softmax_loss(x.numpy(), labels.numpy(), axis, 2, "VALID")
    np.testing.assert_allclose(infogain_loss(x, labels, torch.eye(3), axis, 2), expected, rtol=1e-5)


def test_euclidean_loss_compares_by_rows() -> None:
    a, b = RNG.normal(size=(2, 3, 2)).astype(np.float32), RNG.normal(size=(2, 6)).astype(np.float32)
    loss = euclidean_loss(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(loss, ((a.reshape(2, 6) - b) ** 2).sum() / 4, rtol=1e-5)


@pytest.mark.parametrize(("norm", "power"), [("L1", 1), ("L2", 2)])
def test_hinge_loss_of_images(norm: Any, power: int) -> None:
    x, labels = RNG.normal(size=(3, 2, 2)).astype(np.float32), np.array([3.0, 0.0, 1.0], np.float32)
    sign = np.ones((3, 4))
    sign[np.arange(3), labels.astype(int)] = -1
    expected = (np.maximum(0, 1 + sign * x.reshape(3, 4)) ** power).sum() / 3
    np.testing.assert_allclose(hinge_loss(torch.from_numpy(x), torch.from_numpy(labels), norm), expected, rtol=1e-5)


def test_equal_pairs_that_should_differ_have_a_finite_gradient() -> None:
    a = torch.ones(2, 3, requires_grad=True)
    loss = contrastive_loss(a, torch.ones(2, 3), torch.tensor([0.0, 1.0]), margin=2.0)
    loss.backward()
    assert loss.item() == 1.0  # 2² of one pair, divided by 2 · 2
    np.testing.assert_array_equal(a.grad, np.zeros((2, 3)))


LOSSES = [softmax_loss, hinge_loss, multinomial_logistic_loss, lambda x, y: infogain_loss(x, y, torch.eye(3))]


@pytest.mark.parametrize("loss", LOSSES, ids=["softmax", "hinge", "multinomial", "infogain"])
@pytest.mark.parametrize(("label", "shown"), [(3.0, "3"), (-1.0, "-1"), (float("nan"), "nan")])
def test_a_label_that_is_none_is_named(loss: Any, label: float, shown: str) -> None:
    with pytest.raises(
        LabelError, match=rf"label {shown} \(at position 1 of the batch\) is none of the classes 0 to 2"
    ):
        loss(torch.ones(2, 3), torch.tensor([0.0, label]))


SHAPES = [
    (SOFTMAX, "6x5 6,", "scalar"),
    (SOFTMAX, "?x5x3x2 ?x1x3x2", "scalar"),
    (SOFTMAX, "? ?", "scalar"),
    (f'{SOFTMAX} top: "p"', "?x5 ?", "scalar ?x5"),
    (f"{SOFTMAX} softmax_param {{ axis: -1 }}", "2x3x5 2x3", "scalar"),
    (f'type: "InfogainLoss" {ENDS} top: "p" bottom: "H"', "6x5 6, 1x1x5x5", "scalar 6x5"),
    (f'type: "EuclideanLoss" {ENDS}', "6x4 6x2x2", "scalar"),
    (f'type: "SigmoidCrossEntropyLoss" {ENDS}', "6x4 ?x?", "scalar"),
    (f'type: "HingeLoss" {ENDS}', "6x4 6x1x1", "scalar"),
    (f'type: "ContrastiveLoss" {ENDS} bottom: "y"', "6x4 6x4 6,", "scalar"),
]


@pytest.mark.parametrize(("text", "bottoms", "tops"), SHAPES)
def test_shape(text: str, bottoms: str, tops: str) -> None:
    assert made(text).infer(shapes(bottoms)) == shapes(tops)


MISMATCHES = [
    (SOFTMAX, "6x5 6x5", "ND0460", "30 labels (6x5) for 6 predictions (6x5, the classes on axis 1)"),
    (SOFTMAX, "2x4x3x2 2x4x2", "ND0460", "16 labels (2x4x2) for 12 predictions"),
    (SOFTMAX, "6x5 7,", "ND0460", "7 labels (7) for 6 predictions"),
    (SOFTMAX, "?x5 scalar", "ND0461", "needs a batch axis, found a scalar"),
    (f"{SOFTMAX} softmax_param {{ axis: 2 }}", "6x5 6,", "ND0412", "`axis: 2` is out of range"),
    (f'type: "EuclideanLoss" {ENDS}', "6x4 5x4", "ND0461", "differ in their first axis: 6 (6x4) and 5 (5x4)"),
    (f'type: "EuclideanLoss" {ENDS}', "?x4 ?x5", "ND0461", "compares 4 values a row (?x4) with 5 (?x5)"),
    (f'type: "SigmoidCrossEntropyLoss" {ENDS}', "2x4 2x3", "ND0461", "compares 8 values (2x4) with 6 (2x3)"),
    (f'type: "HingeLoss" {ENDS}', "6x4 6x4", "ND0460", "4 labels a row (6x4), expected one"),
    (f'type: "ContrastiveLoss" {ENDS} bottom: "y"', "6x4 6x4 5,", "ND0461", "first axis: 6 (6x4) and 5 (5)"),
    (f'type: "InfogainLoss" {ENDS} bottom: "H"', "6x5 6, 4x5", "ND0463", "has 20 values (4x5); 5 classes need 5 x 5"),
]


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


COUNTING = [
    ("", None, "VALID"),
    ("loss_param { normalize: false }", None, "BATCH_SIZE"),
    ("loss_param { normalize: true }", None, "VALID"),
    ("loss_param { normalize: true normalization: NONE ignore_label: 0 }", 0, "NONE"),
]


@pytest.mark.parametrize(("text", "ignore", "mode"), COUNTING)
def test_normalization_beats_normalize(text: str, ignore: int | None, mode: str) -> None:
    layer: Any = made(f"{SOFTMAX} {text}")
    assert (layer.counting.ignore_label, layer.counting.normalization) == (ignore, mode)


def test_sigmoid_cross_entropy_divides_by_the_batch_by_default() -> None:
    layer: Any = made(f'type: "SigmoidCrossEntropyLoss" {ENDS}')
    assert layer.counting.normalization == "BATCH_SIZE"


def test_infogain_needs_a_matrix() -> None:
    _, (found,) = decode(f'type: "InfogainLoss" {ENDS}')
    assert (found.code, "neither a third bottom nor a file" in found.message) == ("ND0463", True)


def test_infogain_matrix_is_read_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "H.binaryproto"
    path.write_bytes(weights_pb2.BlobProto(data=[1, 2, 3, 4]).SerializeToString())
    module = InfogainMatrix(str(path), 2)
    np.testing.assert_array_equal(module(), [[1, 2], [3, 4]])
    assert not module.state_dict()


@pytest.mark.parametrize(("content", "code"), [(None, "ND0465"), (b"\xff\xff\xff", "ND0465"), (b"", "ND0463")])
def test_infogain_matrix_that_is_none(tmp_path: Any, content: bytes | None, code: str) -> None:
    path = tmp_path / "H.binaryproto"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NetdefError) as caught:
        InfogainMatrix(str(path), 2)
    assert caught.value.diagnostics[0].code == code
