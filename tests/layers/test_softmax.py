"""Softmax: its axis."""

from __future__ import annotations

import pytest

from netdef.layers import Mismatch
from tests.layer_decoding import made, shapes

SOFTMAX = 'type: "Softmax" bottom: "x" top: "y"'


@pytest.mark.parametrize("bottom", ["2x3", "2x?x4", "?"])
def test_shape_stays(bottom: str) -> None:
    assert made(SOFTMAX).infer(shapes(bottom)) == shapes(bottom)


def test_axis_must_exist() -> None:
    with pytest.raises(Mismatch, match="`axis: 2` is out of range: the bottom has 2 axes"):
        made(f"{SOFTMAX} softmax_param {{ axis: 2 }}").infer(shapes("2x3"))
