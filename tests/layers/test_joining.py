"""Concat, Slice, Split, Tile: shapes with unknown sizes, and what is refused."""

from __future__ import annotations

import pytest

from tests.layer_decoding import assert_mismatch, assert_refused, made, shapes

CONCAT = 'type: "Concat" bottom: "a" bottom: "b" top: "y"'
SLICE = 'type: "Slice" bottom: "x" top: "a" top: "b" top: "c"'

SHAPES = [
    ("concat", CONCAT, "2x3x4 2x5x4", "2x8x4"),
    ("concat -1", f"{CONCAT} concat_param {{ axis: -1 }}", "2x3 2x4", "2x7"),
    ("concat_dim", f"{CONCAT} concat_param {{ concat_dim: 0 }}", "2x3 5x3", "7x3"),
    ("concat learns from both", CONCAT, "?x3x4 2x5x?", "2x8x4"),
    ("concat, one size unknown", CONCAT, "2x? 2x5", "2x?"),
    ("concat, one shape unknown", CONCAT, "2x3x4 ?", "2x?x4"),
    ("concat, nothing known", CONCAT, "? ?", "?"),
    ("slice in equal parts", SLICE, "2x6x5", "2x2x5 2x2x5 2x2x5"),
    ("slice at points", f"{SLICE} slice_param {{ slice_point: 1 slice_point: 4 }}", "2x6", "2x1 2x3 2x2"),
    ("slice_dim", f"{SLICE} slice_param {{ slice_dim: 0 }}", "6x2", "2x2 2x2 2x2"),
    ("slice, the last part empty", f"{SLICE} slice_param {{ slice_point: 1 slice_point: 4 }}", "2x4", "2x1 2x3 2x0"),
    ("slice, unknown axis", f"{SLICE} slice_param {{ slice_point: 1 slice_point: 4 }}", "2x?", "2x1 2x3 2x?"),
    ("slice, unknown axis, equal", SLICE, "2x?", "2x? 2x? 2x?"),
    ("slice, unknown shape", SLICE, "?", "? ? ?"),
    ("split", 'type: "Split" bottom: "x" top: "a" top: "b"', "2x?", "2x? 2x?"),
    ("tile", 'type: "Tile" tile_param { tiles: 3 } bottom: "x" top: "y"', "2x5x?", "2x15x?"),
    ("tile the unknown", 'type: "Tile" tile_param { tiles: 3 axis: -1 } bottom: "x" top: "y"', "2x?", "2x?"),
]


@pytest.mark.parametrize(("text", "bottoms", "tops"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape(text: str, bottoms: str, tops: str) -> None:
    assert made(text).infer(shapes(bottoms)) == shapes(tops)


MISMATCHES = [
    (CONCAT, "2x3x4 2x3x5", "ND0304", "differ at axis 2: 4 and 5; they are joined along axis 1"),
    (CONCAT, "2x3 2x3x5", "ND0304", "differ in their number of axes: 2 and 3"),
    (f"{CONCAT} concat_param {{ axis: 3 }}", "2x3 2x3", "ND0412", "`axis: 3` is out of range"),
    (SLICE, "2x7", "ND0453", "axis 1 of size 7 cannot be cut into 3 equal parts"),
    (
        f"{SLICE} slice_param {{ slice_point: 1 slice_point: 9 }}",
        "2x7",
        "ND0453",
        "slice point 9 is beyond axis 1, whose size is 7",
    ),
    ('type: "Tile" tile_param { tiles: 2000000000 } bottom: "x" top: "y"', "2x3", "ND0413", "6000000000"),
]


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


REFUSED = [
    (f"{CONCAT} concat_param {{ axis: 1 concat_dim: 0 }}", "ND0451", "0", "cannot both be given"),
    (f"{SLICE} slice_param {{ slice_point: 1 }}", "ND0452", "1", "3 tops need 2 slice points, found 1"),
    (f"{SLICE} slice_param {{ slice_point: 4 slice_point: 4 }}", "ND0452", "4", "4 comes after 4"),
    (f"{SLICE} slice_param {{ slice_point: 0 slice_point: 4 }}", "ND0452", "0", "must be at least 1, found 0"),
    ('type: "Tile" bottom: "x" top: "y" tile_param { tiles: 0 }', "ND0401", "0", "found 0"),
]


@pytest.mark.parametrize(("text", "code", "spot", "message"), REFUSED)
def test_refused(text: str, code: str, spot: str, message: str) -> None:
    assert_refused(text, code, spot, message)
