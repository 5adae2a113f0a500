"""Crop, BatchReindex, Filter, ArgMax, Silence: shapes, refusals, and ArgMax against a sort in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netdef.nn import LabelError, arg_max, batch_reindex, chosen_rows
from tests.layer_decoding import assert_mismatch, decode, made, shapes

CROP = 'type: "Crop" bottom: "x" bottom: "r" top: "y"'
FILTER = 'type: "Filter" bottom: "a" bottom: "b" bottom: "s" top: "c" top: "d"'
ARGMAX = 'type: "ArgMax" bottom: "x" top: "y"'
REINDEX = 'type: "BatchReindex" bottom: "x" bottom: "i" top: "y"'

SHAPES = [
    ("crop", CROP, "2x3x6x7 9x9x4x5", "2x3x4x5"),
    ("crop from 1", f"{CROP} crop_param {{ axis: 1 offset: 1 offset: 0 offset: 2 }}", "2x3x4x5 2x2x3x3", "2x2x3x3"),
    ("crop from -1", f"{CROP} crop_param {{ axis: -1 }}", "2x3x4 2x3x1", "2x3x1"),
    ("crop to unknown sizes", CROP, "2x3x6x7 1x1x?x5", "2x3x?x5"),
    ("crop to an unknown shape", CROP, "2x3x6x7 ?", "2x3x?x?"),
    ("crop the unknown", CROP, "? 2x3x4x5", "?"),
    ("reindex", REINDEX, "5x2x3 4,", "4x2x3"),
    ("reindex, unknown indices", REINDEX, "5x2x3 ?", "?x2x3"),
    ("filter", FILTER, "5x2x3 5x4 5x1", "?x2x3 ?x4"),
    ("argmax", ARGMAX, "3x4x2x2", "3x1x1x1"),
    ("argmax with values", f"{ARGMAX} argmax_param {{ out_max_val: true top_k: 5 }}", "3x8", "3x2x5"),
    ("argmax along an axis", f"{ARGMAX} argmax_param {{ axis: -2 top_k: 2 }}", "3x8x?", "3x2x?"),
    ("argmax of unknown sizes", ARGMAX, "?x?x?", "?x1x1"),
    ("silence", 'type: "Silence" bottom: "x" bottom: "y"', "2x3 ?", ""),
]


@pytest.mark.parametrize(("text", "bottoms", "tops"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape(text: str, bottoms: str, tops: str) -> None:
    assert made(text).infer(shapes(bottoms)) == shapes(tops)


MISMATCHES = [
    (CROP, "2x3x6x7 2x3x4x8", "ND0456", "beyond axis 3: 8 values from 0 on, of 7"),
    (f"{CROP} crop_param {{ offset: 3 }}", "2x3x6x9 2x3x4x5", "ND0456", "beyond axis 2: 4 values from 3 on, of 6"),
    (
        f"{CROP} crop_param {{ offset: 3 offset: 1 offset: 1 }}",
        "2x3x6x7 2x3x1x1",
        "ND0456",
        "cuts 2 axes of 2x3x6x7 and has 3",
    ),
    (CROP, "2x3x6x7 2x3x4", "ND0456", "a blob of 4 axes (2x3x6x7) to one of 3"),
    (REINDEX, "5x2 4x1", "ND0466", "one axis, found 2"),
    (FILTER, "5x2x3 4x4 5x1", "ND0466", "the selector has 5 rows, bottom 1 has 4"),
    (FILTER, "5x2x3 5x4 5x2", "ND0466", "one value a row, found 5x2"),
    (f"{ARGMAX} argmax_param {{ top_k: 9 }}", "3x2x4", "ND0459", "top_k is 9, but there are only 8 values"),
    (f"{ARGMAX} argmax_param {{ top_k: 3 axis: 1 }}", "3x2x4", "ND0459", "only 2 values along axis 1"),
]


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


def test_filter_needs_a_top_for_each_bottom_but_the_selector() -> None:
    _, (found,) = decode('type: "Filter" bottom: "a" bottom: "s" top: "b" top: "c"')
    assert (found.code, found.message) == ("ND0467", "Filter has 2 bottoms and 2 tops")


@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_argmax_puts_the_larger_index_first_among_equals(axis: int, top_k: int) -> None:
    x = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.float32)
    expected = np.apply_along_axis(lambda v: sorted(range(len(v)), key=lambda i: (-v[i], -i))[:top_k], axis, x)
    np.testing.assert_array_equal(arg_max(torch.from_numpy(x), top_k, axis), expected)
    values = np.take_along_axis(x, expected, axis)
    np.testing.assert_array_equal(arg_max(torch.from_numpy(x), top_k, axis, out_max_val=True), values)


def test_argmax_of_rows_of_one_value() -> None:
    np.testing.assert_array_equal(arg_max(torch.tensor([3.0, 1.0])), np.zeros((2, 1, 1)))


def test_gradients_of_rows_add_up() -> None:
    x = torch.arange(6.0).reshape(3, 2).requires_grad_()
    batch_reindex(x, torch.tensor([2.0, 0.0, 2.0])).sum().backward()
    np.testing.assert_array_equal(x.grad, [[1, 1], [0, 0], [2, 2]])


def test_an_index_without_a_row_is_named() -> None:
    with pytest.raises(LabelError, match=r"index 3 \(at position 1 of the batch\) is none of the rows 0 to 2"):
        batch_reindex(torch.ones(3, 2), torch.tensor([0.0, 3.0]))


def test_any_selector_but_zero_chooses() -> None:
    np.testing.assert_array_equal(chosen_rows(torch.tensor([[0.0], [-2.0], [0.5]])), [1, 2])
    assert chosen_rows(torch.zeros(3)).shape == (0,)
