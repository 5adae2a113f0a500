"""Scale and Bias: shapes with unknown sizes, parameters, and what is refused."""

from __future__ import annotations

import pytest
import torch

from netdef.ir import ONE, ZERO
from tests.layer_decoding import assert_mismatch, assert_refused, made, shapes
from tests.layer_running import run

SCALE = 'type: "Scale" bottom: "x" top: "y" scale_param'
BIAS = 'type: "Bias" bottom: "x" top: "y" bias_param'
SCALE_TWO = 'type: "Scale" bottom: "x" bottom: "s" top: "y" scale_param'
BIAS_TWO = 'type: "Bias" bottom: "x" bottom: "b" top: "y" bias_param'

SHAPES = [
    ("scale", f"{SCALE} {{ }}", "2x3x4x5", "3,"),
    ("scale and bias", f"{SCALE} {{ bias_term: true }}", "2x3x4x5", "3, 3,"),
    ("two axes", f"{SCALE} {{ axis: 0 num_axes: 2 }}", "2x3x4", "2x3"),
    ("all axes", f"{SCALE} {{ axis: 1 num_axes: -1 }}", "2x3x4", "3x4"),
    ("from the end", f"{SCALE} {{ axis: -1 }}", "2x3x4", "4,"),
    ("one number", f"{SCALE} {{ num_axes: 0 }}", "2x3x4", "scalar"),
    ("unknown size", f"{SCALE} {{ num_axes: 2 }}", "?x3x?", "3x?"),
    ("unknown shape", f"{SCALE} {{ }}", "?", "?"),
    ("unknown shape, one number", f"{SCALE} {{ num_axes: 0 }}", "?", "?"),
    ("second bottom", f"{SCALE_TWO} {{ axis: 0 }}", "2x3x4 2x3", ""),
    ("second bottom and bias", f"{SCALE_TWO} {{ bias_term: true }}", "2x3x4 3,", "3,"),
    ("second bottom, unknown", f"{SCALE_TWO} {{ }}", "? 3,", ""),
    ("second bottom, a scalar", f"{SCALE_TWO} {{ axis: 7 }}", "2x3 scalar", ""),
    ("shift", f"{BIAS} {{ }}", "2x3x4x5", "3,"),
    ("shift from a bottom", f"{BIAS_TWO} {{ }}", "2x3x4x5 3x?", ""),
]


@pytest.mark.parametrize(("text", "bottoms", "params"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape(text: str, bottoms: str, params: str) -> None:
    layer, given = made(text), shapes(bottoms)
    assert layer.infer(given) == given[:1]
    assert tuple(spec.shape for spec in layer.params(given)) == shapes(params)


MISMATCHES = [
    (f"{SCALE} {{ axis: 4 }}", "2x3x4x5", "ND0412", "`axis: 4` is out of range"),
    (f"{SCALE} {{ axis: 1 num_axes: 2 }}", "2x3", "ND0422", "`num_axes: 2` from axis 1 on is too many: the bottom"),
    (f"{SCALE_TWO} {{ }}", "2x3x4 4,", "ND0304", "Scale inputs differ at axis 1: 3 and 4"),
    (f"{SCALE_TWO} {{ }}", "2x3 3x4", "ND0422", "second input has 2 axes, but from axis 1 on the first has 1"),
    (f"{BIAS_TWO} {{ axis: 0 }}", "2x3x4 2x4", "ND0304", "Bias inputs differ at axis 1: 3 and 4"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


def test_refused() -> None:
    assert_refused(f"{BIAS} {{ num_axes: -2 }}", "ND0423", "-2", "`num_axes` must be -1 (all) or more, found -2")


def test_how_they_begin() -> None:
    weight, bias = made(f"{SCALE} {{ bias_term: true }}").params(shapes("2x3"))
    assert (weight.name, weight.filler, bias.name, bias.filler) == ("weight", ONE, "bias", ZERO)
    (filled,) = made(f"{SCALE} {{ filler {{ value: 3 }} }}").params(shapes("2x3"))
    assert filled.filler.value == 3


def test_in_float16_too() -> None:
    x, s = torch.ones(2, 3, 4, dtype=torch.float16), torch.tensor([1.0, 2, 3], dtype=torch.float16)
    (y,) = run(f"{SCALE_TWO} {{ }}", x=x, s=s)
    assert y[0, :, 0].tolist() == [1, 2, 3]
