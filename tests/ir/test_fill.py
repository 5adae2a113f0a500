"""Fillers against blobs that real Caffe filled: exact values where they are exact, else their distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netdef.graph import Options, load
from netdef.ir import Filler
from netdef.ir.fill import fans, fill
from netdef.layers.data import DummyData
from tests.golden_cases import arrays, cases, prototxt

FILLERS = cases("fillers")


def filler_of(case: dict[str, Any]) -> Filler:
    """The filler of the case's DummyData layer."""
    (layer,) = [node.layer for node in load(prototxt(case), Options()).nodes]
    assert isinstance(layer, DummyData)
    return layer.fillers[0]


@pytest.mark.parametrize("case", FILLERS, ids=[case["name"] for case in FILLERS])
def test_agrees_with_caffe(case: dict[str, Any]) -> None:
    held = arrays(case)
    values = fill(filler_of(case), tuple(case["blob_shape"]), np.random.default_rng(3))
    assert values.dtype == np.float32
    if "values" in held:
        np.testing.assert_allclose(values, held["values"], rtol=1e-6)
        return
    # Five standard errors of a sample of this size: a wrong fan, or a wrong limit, is far outside.
    count, std = values.size, float(held["std"])
    assert abs(values.mean() - held["mean"]) < 5 * std * np.sqrt(2 / count)
    assert values.std() == pytest.approx(std, rel=5 * np.sqrt(2 / count))
    assert (values != 0).mean() == pytest.approx(float(held["nonzero_fraction"]), abs=0.01)
    expected = case["expected"]
    if "max" in expected:
        assert expected["min"] <= values.min() <= values.max() <= expected["max"]
        assert values.max() == pytest.approx(expected["max"], abs=0.01 * (expected["max"] - expected["min"]))
    if "row_sum" in expected:
        np.testing.assert_allclose(values.reshape(len(values), -1).sum(1), expected["row_sum"], rtol=1e-4)


def test_fans_are_those_of_the_stored_shape() -> None:
    assert fans((64, 32, 5, 5)) == (800, 1600)
    assert fans((4000,)) == (1, 4000)


def test_the_generator_decides() -> None:
    draw = [fill(Filler("gaussian"), (5,), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (draw[0] == draw[1]).all()
    assert (draw[0] != draw[2]).any()
