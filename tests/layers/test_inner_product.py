"""InnerProduct and Embed: shapes with unknown sizes, parameters, cost, and what is refused."""

from __future__ import annotations

import pytest
import torch

from netdef.nn import LabelError
from tests.layer_decoding import assert_mismatch, assert_refused, made, shapes
from tests.layer_running import run

IP = 'type: "InnerProduct" bottom: "x" top: "y" inner_product_param'
EMBED = 'type: "Embed" bottom: "x" top: "y" embed_param'

SHAPES = [
    ("plain", f"{IP} {{ num_output: 10 }}", "2x3x4x5", "2x10", "10x60 10,", 2 * 10 * 60),
    ("two axes", f"{IP} {{ num_output: 10 }}", "2x6", "2x10", "10x6 10,", 2 * 10 * 6),
    ("no bias", f"{IP} {{ num_output: 10 bias_term: false }}", "2x6", "2x10", "10x6", 120),
    ("transposed", f"{IP} {{ num_output: 10 transpose: true }}", "2x6", "2x10", "6x10 10,", 120),
    ("last axis", f"{IP} {{ num_output: 10 axis: -1 }}", "2x3x6", "2x3x10", "10x6 10,", 2 * 3 * 10 * 6),
    ("all axes", f"{IP} {{ num_output: 10 axis: 0 }}", "2x6", "10,", "10x12 10,", 120),
    ("unknown batch", f"{IP} {{ num_output: 10 }}", "?x3x4x5", "?x10", "10x60 10,", None),
    ("unknown size", f"{IP} {{ num_output: 10 }}", "2x3x?x5", "2x10", "10x? 10,", None),
    ("unknown shape", f"{IP} {{ num_output: 10 }}", "?", "?x10", "10x? 10,", None),
    ("unknown shape, axis from the end", f"{IP} {{ num_output: 10 axis: -1 }}", "?", "?", "10x? 10,", None),
    ("embed", f"{EMBED} {{ num_output: 5 input_dim: 7 }}", "3x2", "3x2x5", "7x5 5,", 0),
    ("embed, no bias", f"{EMBED} {{ num_output: 5 input_dim: 7 bias_term: false }}", "?,", "?x5", "7x5", 0),
    ("embed, unknown shape", f"{EMBED} {{ num_output: 5 input_dim: 7 }}", "?", "?", "7x5 5,", 0),
]


@pytest.mark.parametrize(
    ("text", "bottom", "top", "params", "cost"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES]
)
def test_shape(text: str, bottom: str, top: str, params: str, cost: int | None) -> None:
    layer, bottoms = made(text), shapes(bottom)
    assert layer.infer(bottoms) == shapes(top)
    assert tuple(spec.shape for spec in layer.params(bottoms)) == shapes(params)
    assert layer.cost(bottoms, shapes(top)) == cost


MISMATCHES = [
    (f"{IP} {{ num_output: 10 axis: 2 }}", "2x6", "ND0412", "`axis: 2` is out of range: the bottom has 2 axes (2x6)"),
    (f"{IP} {{ num_output: 10 axis: -3 }}", "2x6", "ND0412", "`axis: -3` is out of range"),
    (
        f"{IP} {{ num_output: 100000 }}",
        "64x64x224x224",
        "ND0413",
        "the weight would be 100000x3211264: 321126400000 values, and a blob holds at most 2147483647",
    ),
    (f"{EMBED} {{ num_output: 100000 input_dim: 100000 }}", "2x3", "ND0413", "the weight would be 100000x100000"),
    (f"{EMBED} {{ num_output: 100000 input_dim: 1 }}", "300x300", "ND0413", "the top would be 300x300x100000"),
]


@pytest.mark.parametrize(("text", "bottom", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottom: str, code: str, message: str) -> None:
    assert_mismatch(text, bottom, code, message)


REFUSED = [
    ('type: "InnerProduct" bottom: "x" top: "y"', "ND0405", "layer", "`num_output` is missing"),
    (f"{IP} {{ num_output: 4000000000 }}", "ND0404", "4000000000", "more than the 2147483647"),
    (f"{EMBED} {{ num_output: 3 input_dim: 0 }}", "ND0401", "0", "`input_dim` must be at least 1, found 0"),
    (f"{EMBED} {{ num_output: 3 }}", "ND0405", "embed_param", "`input_dim` is missing"),
    (f"{IP} {{ num_output: 3 weight_filler {{ sparse: 2 }} }}", "ND0402", "2", '"gaussian" alone'),
]


@pytest.mark.parametrize(("text", "code", "spot", "message"), REFUSED)
def test_refused(text: str, code: str, spot: str, message: str) -> None:
    assert_refused(text, code, spot, message)


@pytest.mark.parametrize(("index", "shown"), [(5.0, "5"), (-1.0, "-1")])
def test_an_index_that_is_none_is_named(index: float, shown: str) -> None:
    with pytest.raises(LabelError, match=rf"index {shown} \(at position 1 of the batch\) is none of the rows 0 to 4"):
        run(f"{EMBED} {{ num_output: 3 input_dim: 5 }}", x=torch.tensor([4.0, index]))
