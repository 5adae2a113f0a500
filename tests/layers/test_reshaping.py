"""Flatten and Reshape: shapes with unknown sizes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netdef.nn import crop, reshape
from tests.layer_decoding import assert_mismatch, assert_refused, made, shapes
from tests.layer_running import run

RESHAPE = 'type: "Reshape" bottom: "x" top: "y" reshape_param'

SHAPES = [
    ("flatten", 'type: "Flatten" bottom: "x" top: "y"', "?x3x4x5", "?x60"),
    ("flatten some", 'type: "Flatten" flatten_param { axis: 0 end_axis: -3 } bottom: "x" top: "y"', "2x3x4x5", "6x4x5"),
    ("flatten none", 'type: "Flatten" flatten_param { axis: 2 end_axis: 1 } bottom: "x" top: "y"', "2x3x4", "2x3x1x4"),
    ("flatten unknown", 'type: "Flatten" bottom: "x" top: "y"', "2x3x?", "2x?"),
    ("reshape copies and infers", f"{RESHAPE} {{ shape {{ dim: 0 dim: -1 dim: 2 }} }}", "2x3x4", "2x6x2"),
    ("reshape keeps an unknown batch", f"{RESHAPE} {{ shape {{ dim: 0 dim: -1 }} }}", "?x3x4", "?x12"),
    ("reshape cannot infer", f"{RESHAPE} {{ shape {{ dim: 4 dim: -1 }} }}", "?x3x4", "4x?"),
    ("reshape inner axes", f"{RESHAPE} {{ shape {{ dim: 2 dim: -1 }} axis: 1 num_axes: 1 }}", "?x6x5", "?x2x3x5"),
    ("reshape puts axes in", f"{RESHAPE} {{ shape {{ dim: 1 dim: 1 }} axis: -1 num_axes: 0 }}", "2x6", "2x6x1x1"),
    ("reshape blindly", f"{RESHAPE} {{ shape {{ dim: 0 dim: 7 dim: -1 }} }}", "?", "?x7x?"),
    ("reshape blindly inside", f"{RESHAPE} {{ shape {{ dim: 7 }} axis: 1 }}", "?", "?"),
]


@pytest.mark.parametrize(("text", "bottoms", "tops"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape(text: str, bottoms: str, tops: str) -> None:
    assert made(text).infer(shapes(bottoms)) == shapes(tops)


MISMATCHES = [
    (
        f"{RESHAPE} {{ shape {{ dim: 0 dim: 7 }} }}",
        "?x3x4",
        "ND0455",
        "changes the number of values: 12 to 7 (?x3x4 to ?x7)",
    ),
    (
        f"{RESHAPE} {{ shape {{ dim: -1 dim: 5 }} }}",
        "2x3x4",
        "ND0455",
        "24 values (2x3x4) cannot be shared out among 5",
    ),
    (
        f"{RESHAPE} {{ shape {{ dim: 2 dim: 3 dim: 0 }} }}",
        "2x3",
        "ND0455",
        "size 2 of the new shape is 0 (copy), but the bottom has no axis 2",
    ),
    (f"{RESHAPE} {{ shape {{ dim: 2 }} axis: 3 }}", "2x3", "ND0455", "`axis: 3` is out of range"),
    (
        f"{RESHAPE} {{ shape {{ dim: 2 }} axis: 1 num_axes: 2 }}",
        "2x3",
        "ND0455",
        "`num_axes: 2` from axis 1 on is too many",
    ),
    ('type: "Flatten" flatten_param { axis: 2 end_axis: 0 } bottom: "x" top: "y"', "2x3x4", "ND0455", "lies behind"),
]


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


REFUSED = [
    (f"{RESHAPE} {{ shape {{ dim: -1 dim: -1 }} }}", "ND0454", "-1", "found -1 more than once"),
    (f"{RESHAPE} {{ shape {{ dim: -2 }} }}", "ND0454", "-2", "found -2"),
    (f"{RESHAPE} {{ shape {{ dim: 2 }} num_axes: -3 }}", "ND0454", "-3", "found -3"),
]


@pytest.mark.parametrize(("text", "code", "spot", "message"), REFUSED)
def test_refused(text: str, code: str, spot: str, message: str) -> None:
    assert_refused(text, code, spot, message)


@pytest.mark.parametrize(
    ("dims", "start", "end", "expected"),
    [
        ((0, -1), 0, None, (2, 60)),
        ((0, 1, 1), 1, 2, (2, 3, 1, 1, 4, 5)),
        ((1,), 1, 1, (2, 1, 3, 4, 5)),
        ((-1,), 1, 3, (2, 12, 5)),
    ],
)
def test_reshape(dims: tuple[int, ...], start: int, end: int | None, expected: tuple[int, ...]) -> None:
    x = torch.arange(120.0).reshape(2, 3, 4, 5)
    y = reshape(x, dims, start, end)
    assert y.shape == expected
    np.testing.assert_array_equal(y.flatten(), x.flatten())


@pytest.mark.parametrize(
    ("dims", "start", "end", "expected"),
    [
        ((0, -1), 0, None, (0, 12)),
        ((2, -1), 1, 2, (0, 2, 2, 3)),
        ((-1, 3), 0, None, (0, 3)),
        ((-1,), 2, None, (0, 4, 3)),
    ],
)
def test_reshape_of_no_rows(dims: tuple[int, ...], start: int, end: int | None, expected: tuple[int, ...]) -> None:
    assert reshape(torch.zeros(0, 4, 3), dims, start, end).shape == expected


def test_reshape_to_a_scalar() -> None:
    (y,) = run(f"{RESHAPE} {{ shape {{ }} axis: -2 }}", x=torch.tensor([3.0]))
    assert y.shape == ()
    assert y.item() == 3


def test_crop_of_five_axes() -> None:
    x = torch.arange(2.0 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    y = crop(x, torch.zeros(1, 1, 2, 3, 4), 2, (2, 1, 0))
    np.testing.assert_array_equal(y, x.numpy()[:, :, 2:4, 1:4, 0:4])
