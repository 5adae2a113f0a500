"""The fused graph computes what the plain one does, forward and backward, and is the smaller one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netdef.graph import Options
from netdef.targets.fuse import RELU, SCALE, fuse
from netdef.targets.record import record
from netdef.targets.torch import build_module, tensors
from tests.graph.compiling import graph

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }\n'
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "x" top: "c"'
    ' convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }\n'
)
NORM = 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "b" }\n'
SCALED = 'layer { name: "scale" type: "Scale" bottom: "b" top: "s" scale_param { bias_term: true } }\n'
ACTIVE = 'layer { name: "relu" type: "ReLU" bottom: "s" top: "r" }\n'
BLOCK = INPUT + CONV + NORM + SCALED + ACTIVE


def targets(text: str, wanted: list[str]) -> list[str]:
    recording = fuse(record(graph(text, Options(phase="TRAIN"))), wanted)
    return [call.target + ("!" if ("inplace", True) in call.kwargs else "") for call in recording.calls]


def test_block_becomes_three_steps() -> None:
    steps = [target for target in targets(BLOCK, ["r"]) if target not in ("weight", "bias")]
    assert steps == ["torch.nn.Conv2d", "netdef.nn.BatchNorm", f"{RELU}!"]


@pytest.mark.parametrize("wanted", ["b", "s"])
def test_a_blob_that_is_asked_for_stays(wanted: str) -> None:
    steps = targets(BLOCK, [wanted, "r"])
    assert (SCALE in steps) is (wanted == "b")
    assert (f"{RELU}!" in steps) is False


def test_a_blob_that_another_layer_reads_stays() -> None:
    second = 'layer { name: "other" type: "TanH" bottom: "c" top: "t" }\n'
    steps = targets(INPUT + CONV + 'layer { name: "relu" type: "ReLU" bottom: "c" top: "r" }\n' + second, ["r", "t"])
    assert f"{RELU}!" not in steps


def test_scale_along_another_axis_is_not_fused() -> None:
    rows = 'layer { name: "scale" type: "Scale" bottom: "b" top: "s" scale_param { axis: 2 } }\n'
    assert SCALE in targets(INPUT + CONV + NORM + rows, ["s"])


def test_values_and_gradients_are_the_plain_ones() -> None:
    net = graph(BLOCK, Options(phase="TRAIN"))
    x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    results = []
    for outputs in (["r"], ["c", "b", "s", "r"]):
        module = build_module(net, outputs=outputs, rng=np.random.default_rng(2))
        module(x=x)["r"].square().sum().backward()
        held = tensors(module, net)
        results.append([t.grad if t.grad is not None else t for t in held.values()])
    assert len(results[0]) == 7
    for fused, plain in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-5)
