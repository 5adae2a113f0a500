"""Element-wise layers: the fields that are refused, the slopes of PReLU, the share that Dropout drops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netdef.diagnostics import Source
from netdef.graph import Options, load
from netdef.ir import Filler
from netdef.layers import Mismatch
from netdef.nn import above
from netdef.targets.torch import build_module
from tests.layer_decoding import assert_refused, made, shape, shapes

ENDS = 'bottom: "x" top: "y"'
SAME_SHAPE = ["ReLU", "Sigmoid", "TanH", "ELU", "BNLL", "Swish", "Threshold", "Dropout", "PReLU"]


@pytest.mark.parametrize("kind", SAME_SHAPE)
@pytest.mark.parametrize("bottom", ["2x3x?", "?"])
def test_shape_stays(kind: str, bottom: str) -> None:
    assert made(f'type: "{kind}" {ENDS}').infer(shapes(bottom)) == shapes(bottom)


REFUSED = [
    ('type: "Dropout" dropout_param { dropout_ratio: 1 }', "ND0457", "1", "less than 1, found 1"),
    ('type: "Dropout" dropout_param { dropout_ratio: -0.1 }', "ND0457", "-0.1", "found -0.1"),
    ('type: "Dropout" dropout_param { dropout_ratio: nan }', "ND0457", "nan", "found nan"),
    ('type: "Clip" clip_param { min: 2 max: 1 }', "ND0458", "2", "`min` (2) is above `max` (1)"),
    ('type: "Clip"', "ND0458", '"Clip"', "needs its bounds"),
]


@pytest.mark.parametrize(("text", "code", "spot", "message"), REFUSED)
def test_refused(text: str, code: str, spot: str, message: str) -> None:
    assert_refused(f"{text} {ENDS}", code, spot, message)


PRELU = [
    ("", "4x3x5x5", "3,", Filler(value=0.25)),
    ("", "?", "?,", Filler(value=0.25)),
    ("prelu_param { channel_shared: true }", "4x3", "scalar", Filler(value=0.25)),
    ('prelu_param { filler { type: "constant" value: 0.1 } }', "4x3", "3,", Filler(value=pytest.approx(0.1))),
]


@pytest.mark.parametrize(("text", "bottom", "expected", "filler"), PRELU)
def test_prelu_has_a_slope_for_each_channel(text: str, bottom: str, expected: str, filler: Filler) -> None:
    (spec,) = made(f'type: "PReLU" {ENDS} {text}').params(shapes(bottom))
    assert (spec.name, spec.shape, spec.filler) == ("weight", shape(expected), filler)


def test_prelu_needs_channels() -> None:
    with pytest.raises(Mismatch, match=r"at least 2 axes .* found 1") as caught:
        made(f'type: "PReLU" {ENDS}').infer(shapes("4,"))
    assert caught.value.code == "ND0464"


def test_threshold_is_strict() -> None:
    np.testing.assert_array_equal(above(torch.tensor([-1.0, 0.5, 0.6]), 0.5), [0, 0, 1])


def test_dropout_scales_what_it_keeps_in_training_alone() -> None:
    net = f'input: "x" input_shape {{ dim: 100 dim: 100 }} layer {{ name: "d" type: "Dropout" {ENDS} %s }}'
    text = net % "dropout_param { dropout_ratio: 0.2 }"
    module = build_module(load(Source("net", text), Options(phase="TRAIN")))
    torch.manual_seed(0)
    y = module(x=torch.ones(100, 100))["y"]
    assert set(y.unique().tolist()) == {0.0, 1.25}
    assert abs((y == 0).float().mean().item() - 0.2) < 0.02  # five standard deviations of 10,000 draws
    np.testing.assert_array_equal(module.eval()(x=torch.ones(100, 100))["y"], np.ones((100, 100)))
