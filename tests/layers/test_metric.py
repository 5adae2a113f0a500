"""Accuracy against a loop in numpy, its shapes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netdef.nn import LabelError, accuracy, class_accuracy
from tests.layer_decoding import assert_mismatch, decode, made, shapes

ACCURACY = 'type: "Accuracy" bottom: "x" bottom: "label" top: "acc"'
RNG = np.random.default_rng(3)


@pytest.mark.parametrize("ignore", [None, 1, 255])
@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize(("size", "axis"), [((30, 4), 1), ((4, 30), 0), ((3, 5, 4), -1), ((2, 4, 3, 3), 1)])
def test_accuracy(size: tuple[int, ...], axis: int, top_k: int, ignore: int | None) -> None:
    x = RNG.integers(0, 4, size).astype(np.float32)  # small integers: many ties
    labels = RNG.choice([0, 1, 2] if ignore is None else [0, 2, ignore], x.size // 4).astype(np.float32)
    right, count = np.zeros(4), np.zeros(4)
    for row, label in zip(np.moveaxis(x, axis, -1).reshape(-1, 4), labels.astype(int), strict=True):
        if label != ignore:
            better = sum(score >= row[label] for k, score in enumerate(row) if k != label)
            right[label] += better < top_k
            count[label] += 1
    args = (torch.from_numpy(x), torch.from_numpy(labels), axis, top_k, ignore)
    np.testing.assert_allclose(accuracy(*args), right.sum() / max(count.sum(), 1), rtol=1e-6)
    np.testing.assert_allclose(class_accuracy(*args), right / np.maximum(count, 1), rtol=1e-6)


def test_all_ignored_gives_zero() -> None:
    assert accuracy(torch.ones(2, 3), torch.full((2,), 7.0), ignore_label=7).item() == 0


def test_a_label_that_is_none_is_named() -> None:
    with pytest.raises(LabelError, match="label 5"):
        accuracy(torch.ones(2, 3), torch.tensor([0.0, 5.0]))


SHAPES = [
    (ACCURACY, "12x5 12,", "scalar"),
    (f'{ACCURACY} top: "each"', "?x5x3x3 ?x3x3", "scalar 5,"),
    (f'{ACCURACY} top: "each"', "? ?", "scalar ?"),
]


@pytest.mark.parametrize(("text", "bottoms", "tops"), SHAPES)
def test_shape(text: str, bottoms: str, tops: str) -> None:
    assert made(text).infer(shapes(bottoms)) == shapes(tops)


MISMATCHES = [
    (ACCURACY, "12x5 11,", "ND0460", "11 labels (11) for 12 predictions"),
    (f"{ACCURACY} accuracy_param {{ top_k: 5 }}", "12x2 12,", "ND0459", "top_k is 5, but there are only 2 classes"),
]


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


def test_top_k_must_be_positive() -> None:
    _, (found,) = decode(f"{ACCURACY} accuracy_param {{ top_k: 0 }}")
    assert (found.code, found.span and found.span.text) == ("ND0401", "0")
