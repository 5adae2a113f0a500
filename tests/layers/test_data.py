"""Data layers: the shapes of DummyData's tops, and what is refused."""

from __future__ import annotations

import pytest

from tests.layer_decoding import decode, made, shapes

ONE = 'type: "DummyData" top: "a" dummy_data_param'
TWO = 'type: "DummyData" top: "a" top: "b" dummy_data_param'

SHAPES = [
    ("one for all", f"{TWO} {{ shape {{ dim: 2 dim: 3 }} }}", "2x3 2x3"),
    ("one for each", f"{TWO} {{ shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 }} }}", "2x3 2,"),
    ("a scalar", f"{ONE} {{ shape {{ }} }}", "scalar"),
    ("old", f"{ONE} {{ num: 2 channels: 3 height: 4 width: 5 }}", "2x3x4x5"),
    ("old for all", f"{TWO} {{ num: 2 channels: 3 height: 4 width: 5 }}", "2x3x4x5 2x3x4x5"),
    (
        "old, each field for itself",
        f"{TWO} {{ num: 2 channels: 3 channels: 1 height: 4 width: 5 width: 6 }}",
        "2x3x4x5 2x1x4x6",
    ),
    ("old of no rows", f"{ONE} {{ num: 0 channels: 3 height: 4 width: 5 }}", "0x3x4x5"),
]


@pytest.mark.parametrize(("text", "tops"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape_of_dummy_data(text: str, tops: str) -> None:
    assert made(text).infer(()) == shapes(tops)


REFUSED = [
    ("none", f"{ONE} {{ }}", "ND0477", "1 top needs 1 `shape`, found 0"),
    ("too many", f"{ONE} {{ shape {{ dim: 2 }} shape {{ dim: 2 }} }}", "ND0477", "1 top needs 1 `shape`, found 2"),
    ("one field missing", f"{TWO} {{ num: 2 channels: 3 height: 4 }}", "ND0477", "2 tops need 1 or 2 `width`, found 0"),
    (
        "neither one nor each",
        f"{TWO} {{ num: 2 num: 2 num: 2 channels: 3 height: 4 width: 5 }}",
        "ND0477",
        "2 tops need 1 or 2 `num`, found 3",
    ),
    (
        "both spellings",
        f"{ONE} {{ shape {{ dim: 2 }} num: 2 channels: 3 height: 4 width: 5 }}",
        "ND0477",
        "`shape` and `num`, `channels`, `height`, `width` exclude each other",
    ),
    ("too large", f"{ONE} {{ num: 4000000000 channels: 1 height: 1 width: 1 }}", "ND0479", "at most"),
]


@pytest.mark.parametrize(("text", "code", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused(text: str, code: str, message: str) -> None:
    _, (found,) = decode(text)
    assert found.span is not None
    assert (found.code, message in found.message) == (code, True), found.message
