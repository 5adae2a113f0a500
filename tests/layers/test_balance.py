"""Are label smoothing and class weights torch's, and refused where they do not fit?"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from netdef.layers import Mismatch
from netdef.nn import balanced_softmax_loss
from tests.layer_decoding import decode, made, shapes

ENDS = 'bottom: "x" bottom: "label" top: "loss"'
WEIGHTS = (0.5, 2.0, 0.1, 0.3)


def example(size: tuple[int, ...], ignore: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(size, generator=generator, requires_grad=True)
    labels = torch.randint(0, 4, (x.numel() // 4,), generator=generator)
    return x, labels if ignore is None else torch.where(labels == 3, ignore, labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("ignore", [None, 1, 255])
@pytest.mark.parametrize(("size", "axis"), [((6, 4), 1), ((2, 4, 3, 3), 1), ((2, 3, 4), -1)])
def test_valid_is_torchs_mean(
    size: tuple[int, ...], axis: int, ignore: int | None, weights: Any, smoothing: float
) -> None:
    x, labels = example(size, ignore)
    weight = None if weights is None else torch.tensor(weights)
    loss = balanced_softmax_loss(x, labels.float(), axis, ignore, "VALID", smoothing, weight)
    rows = x.movedim(axis, -1).reshape(-1, 4)
    skip = -100 if ignore is None else ignore
    expected = F.cross_entropy(rows, labels, weight, ignore_index=skip, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    gradients = [torch.autograd.grad(value, x, retain_graph=True)[0] for value in (loss, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("mode", "divisor"), [("FULL", 18), ("BATCH_SIZE", 2), ("NONE", 1)])
def test_other_normalizations_divide_torchs_sum(mode: Any, divisor: int) -> None:
    x, labels = example((2, 4, 3, 3), None)
    weight = torch.tensor(WEIGHTS)
    loss = balanced_softmax_loss(x, labels, 1, None, mode, 0.1, weight)
    rows = x.movedim(1, -1).reshape(-1, 4)
    expected = F.cross_entropy(rows, labels, weight, label_smoothing=0.1, reduction="sum") / divisor
    torch.testing.assert_close(loss, expected)


def test_all_ignored_is_zero() -> None:
    x = torch.ones(2, 4, requires_grad=True)
    loss = balanced_softmax_loss(x, torch.full((2,), 255), 1, 255, "VALID", 0.1, torch.tensor(WEIGHTS))
    loss.backward()
    assert loss == 0
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("label_smoothing: 1.5", "1.5", "from 0 to 1, found 1.5"),
        ("class_weight: [1, -2]", "-2", "at least 0, found -2"),
        ("class_weight: [0, 0]", "0", "every class weight is 0"),
    ],
    ids=["smoothing", "negative", "all_0"],
)
def test_wrong_values(text: str, at: str, says: str) -> None:
    _, (fault,) = decode(f'type: "SoftmaxWithLoss" {ENDS} loss_param {{ {text} }}')
    assert fault.code == "ND0469"
    assert fault.span is not None
    assert fault.span.text == at
    assert says in fault.message


@pytest.mark.parametrize("type", ["SigmoidCrossEntropyLoss", "InfogainLoss"])
def test_other_losses_have_none(type: str) -> None:
    more = 'infogain_loss_param { source: "H" }' if type == "InfogainLoss" else ""
    _, (fault,) = decode(f'type: "{type}" {ENDS} loss_param {{ label_smoothing: 0.1 }} {more}')
    assert (fault.code, fault.message) == ("ND0469", "`label_smoothing` belongs to SoftmaxWithLoss")


def test_one_weight_for_each_class() -> None:
    layer = made(f'type: "SoftmaxWithLoss" {ENDS} loss_param {{ class_weight: [1, 2, 3] }}')
    assert layer.infer(shapes("5x3 5")) == shapes("scalar")
    with pytest.raises(Mismatch, match="3 `class_weight` for 4 classes"):
        layer.infer(shapes("5x4 5"))
