"""Folded nets against the same nets unfolded, in torch on random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netdef.graph import Options, load
from netdef.graph.fold import Folded, fold
from netdef.ir import Graph
from netdef.targets.torch import build_module, load_arrays, net_layers, shared_blobs, tensors
from netdef.weights import match, read_weights
from tests.golden_cases import GOLDEN, cases, prototxt
from tests.graph.compiling import graph as compiled

Arrays = dict[str, NDArray[Any]]
TOLERANCE = 1e-5


def net(*layers: str, dims: tuple[int, ...] = (2, 4, 5, 6)) -> str:
    shape = " ".join(f"dim: {dim}" for dim in dims)
    return f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}\n' + "\n".join(layers)


def layer(kind: str, bottoms: str, tops: str, fields: str = "", name: str = "") -> str:
    blobs = "".join(f' bottom: "{b}"' for b in bottoms.split()) + "".join(f' top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{name or kind.lower()}" type: "{kind}"{blobs} {fields} }}'


def conv(bottoms: str, tops: str, fields: str = "", kind: str = "Convolution") -> str:
    return layer(kind, bottoms, tops, f"convolution_param {{ num_output: 6 kernel_size: 3 {fields} }}", "conv")


def fc(bottoms: str, tops: str, fields: str = "") -> str:
    return layer("InnerProduct", bottoms, tops, f"inner_product_param {{ num_output: 6 {fields} }}", "fc")


def norm(bottom: str, top: str) -> str:
    return layer("BatchNorm", bottom, top)


def scale(bottom: str, top: str, fields: str = "bias_term: true") -> str:
    return layer("Scale", bottom, top, f"scale_param {{ {fields} }}")


SIDE = layer("TanH", "c", "side")
CASES = {
    "BatchNorm and Scale into a convolution without bias": (
        net(conv("x", "c", "bias_term: false pad: 1"), norm("c", "c"), scale("c", "c")),
        "Input Convolution",
    ),
    "into one with bias and groups, under new names": (
        net(conv("x", "c", "group: 2"), norm("c", "n"), scale("n", "s", "")),
        "Input Convolution",
    ),
    "Bias into a convolution": (net(conv("x", "c"), layer("Bias", "c", "c")), "Input Convolution"),
    "a scalar": (net(conv("x", "c"), scale("c", "c", "num_axes: 0")), "Input Convolution"),
    "into a deconvolution with groups": (
        net(conv("x", "c", "group: 2 stride: 2", "Deconvolution"), norm("c", "c"), scale("c", "c")),
        "Input Deconvolution",
    ),
    "into an inner product": (net(fc("x", "f"), norm("f", "f"), scale("f", "f")), "Input InnerProduct"),
    "into a transposed inner product": (
        net(fc("x", "f", "transpose: true bias_term: false"), norm("f", "f")),
        "Input InnerProduct",
    ),
    "into an inner product on the last axis": (
        net(fc("x", "f", "axis: 2"), scale("f", "f", "axis: 2")),
        "Input InnerProduct",
    ),
    "another axis than the outputs stays": (
        net(fc("x", "f", "axis: 2"), scale("f", "f", "axis: 1")),
        "Input InnerProduct Scale",
    ),
    "two axes stay": (net(conv("x", "c"), scale("c", "c", "axis: 1 num_axes: 2")), "Input Convolution Scale"),
    "before a convolution without padding": (
        net(norm("x", "n"), scale("n", "n"), conv("n", "c", "group: 2")),
        "Input Convolution",
    ),
    "a shift before padding stays": (net(layer("Bias", "x", "b"), conv("b", "c", "pad: 1")), "Input Bias Convolution"),
    "a shift before a window larger than the blob stays": (
        net(layer("Bias", "x", "b"), conv("b", "c", "stride: 2"), dims=(2, 4, 2, 6)),
        "Input Bias Convolution",
    ),
    "a factor before padding": (net(scale("x", "s", ""), conv("s", "c", "pad: 1")), "Input Convolution"),
    "a factor before a deconvolution": (
        net(scale("x", "s", ""), conv("s", "c", "", "Deconvolution")),
        "Input Deconvolution",
    ),
    "a shift before a deconvolution stays": (
        net(layer("Bias", "x", "b"), conv("b", "c", "", "Deconvolution")),
        "Input Bias Deconvolution",
    ),
    "before an inner product over planes": (net(norm("x", "n"), scale("n", "n"), fc("n", "f")), "Input InnerProduct"),
    "before a transposed one": (net(norm("x", "n"), fc("n", "f", "transpose: true")), "Input InnerProduct"),
    "before one that does not reach the channels stays": (
        net(scale("x", "s", ""), fc("s", "f", "axis: 2")),
        "Input Scale InnerProduct",
    ),
    "on an input, in place": (net(norm("x", "x"), conv("x", "c")), "Input Convolution"),
    "BatchNorm into its Scale where no weights are near": (
        net(layer("TanH", "x", "t"), norm("t", "t"), scale("t", "t"), layer("ReLU", "t", "t")),
        "Input TanH Scale ReLU",
    ),
    "Bias into a Scale without one": (
        net(layer("TanH", "x", "t"), scale("t", "s", ""), layer("Bias", "s", "b")),
        "Input TanH Scale",
    ),
    "a blob that another layer reads stays": (
        net(conv("x", "c"), SIDE, norm("c", "n")),
        "Input Convolution TanH BatchNorm",
    ),
    "shared parameters stay": (
        net(
            layer(
                "Convolution", "x", "a", 'param { name: "w" } convolution_param { num_output: 4 kernel_size: 1 }', "a"
            ),
            layer(
                "Convolution", "a", "b", 'param { name: "w" } convolution_param { num_output: 4 kernel_size: 1 }', "b"
            ),
            norm("b", "n"),
        ),
        "Input Convolution Convolution BatchNorm",
    ),
    "Dropout in place and under a new name": (
        net(layer("TanH", "x", "t"), layer("Dropout", "t", "t"), layer("Dropout", "t", "d", "", "d2"), fc("d", "f")),
        "Input TanH InnerProduct",
    ),
    "Dropout on an input": (net(layer("Dropout", "x", "x"), fc("x", "f")), "Input InnerProduct"),
    "Dropout at the end": (net(fc("x", "f"), layer("Dropout", "f", "d")), "Input InnerProduct"),
    "Dropout between an input and an output stays": (net(layer("Dropout", "x", "d")), "Input Dropout"),
    "Split": (net(layer("Split", "x", "a b"), layer("Eltwise", "a b", "e")), "Input Eltwise"),
    "a Split whose tops are outputs stays": (net(fc("x", "f"), layer("Split", "f", "a b")), "Input InnerProduct Split"),
    "Power that does nothing": (net(layer("Power", "x", "p"), fc("p", "f")), "Input InnerProduct"),
    "Power that multiplies and adds goes into what is before it": (
        net(conv("x", "c"), layer("Power", "c", "c", "power_param { scale: 2 shift: -1 }")),
        "Input Convolution",
    ),
    "or behind it": (
        net(layer("Power", "x", "p", "power_param { scale: 2 shift: -1 }"), fc("p", "f")),
        "Input InnerProduct",
    ),
    "or into a Scale": (
        net(layer("Power", "x", "p", "power_param { scale: 2 shift: -1 }"), scale("p", "s", "")),
        "Input Scale",
    ),
    "its shift stays before padding": (
        net(layer("Power", "x", "p", "power_param { shift: 1 }"), conv("p", "c", "pad: 1")),
        "Input Power Convolution",
    ),
    "Power that does something else stays": (
        net(
            layer("Power", "x", "p", "power_param { power: 2 }"),
            layer("Power", "p", "q", "power_param { scale: 0 shift: 3 }", "q"),
            fc("q", "f"),
        ),
        "Input Power Power InnerProduct",
    ),
    "a scalar before an inner product": (net(scale("x", "s", "num_axes: 0"), fc("s", "f")), "Input InnerProduct"),
    "Flatten of what is flat": (
        net(fc("x", "f"), layer("Flatten", "f", "g"), layer("TanH", "g", "o")),
        "Input InnerProduct TanH",
    ),
    "Flatten of one axis among others": (
        net(layer("Flatten", "x", "f", "flatten_param { axis: 2 end_axis: 2 }"), fc("f", "g")),
        "Input InnerProduct",
    ),
    "Flatten that puts an axis in stays": (
        net(fc("x", "f"), layer("Flatten", "f", "g", "flatten_param { axis: 1 end_axis: 0 }")),
        "Input InnerProduct Flatten",
    ),
    "Reshape to the sizes that are there": (
        net(
            layer("Reshape", "x", "a", "reshape_param { shape { dim: 0 dim: 4 dim: -1 dim: 6 } }", "r1"),
            layer("Reshape", "a", "b", "reshape_param { axis: -2 shape { dim: 6 } }", "r2"),
            layer("Reshape", "b", "c", "reshape_param { shape { dim: 0 dim: 6 dim: 4 dim: 5 } }", "r3"),
            layer("TanH", "c", "t"),
        ),
        "Input Reshape TanH",
    ),
    "Reshape that states the batch stays": (
        net(fc("x", "f"), layer("Reshape", "f", "g", "reshape_param { shape { dim: 2 dim: -1 } }")),
        "Input InnerProduct Reshape",
    ),
    "Tile of one and Pooling of one value": (
        net(
            layer("Tile", "x", "t", "tile_param { tiles: 1 }"),
            layer("Pooling", "t", "p", "pooling_param { kernel_size: 1 }"),
            fc("p", "f"),
        ),
        "Input InnerProduct",
    ),
    "Pooling that leaves values out stays": (
        net(layer("Pooling", "x", "p", "pooling_param { kernel_size: 1 stride: 2 round_mode: FLOOR }"), fc("p", "f")),
        "Input Pooling InnerProduct",
    ),
    "Concat and Slice of one": (
        net(layer("Concat", "x", "a"), layer("Slice", "a", "b"), fc("b", "f")),
        "Input InnerProduct",
    ),
    "BatchNorm over one axis": (net(norm("x", "n"), dims=(7,)), "Input BatchNorm"),
}


def random_arrays(graph: Graph, factor: float = 2.0) -> Arrays:
    generator = np.random.default_rng(4)
    found = {
        id: generator.standard_normal(param.spec.shape.known_sizes()).astype(np.float32)
        for id, param in graph.params.items()
    }
    for id, param in graph.params.items():
        if param.spec.name == "variance":
            found[id] = np.abs(found[id]) + 1
        if param.spec.name == "factor":
            found[id][:] = factor
    return found


def run(graph: Graph, arrays: Arrays) -> dict[str, NDArray[Any]]:
    module = build_module(graph, outputs=list(graph.blobs))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for id, tensor in tensors(module, graph).items():
            tensor.copy_(torch.from_numpy(arrays[id]))
        names = module.meta["inputs"]
        inputs = {names[b.id]: torch.rand(b.shape.known_sizes(), generator=generator) for b in graph.inputs}
        return {id: value.numpy().copy() for id, value in module(**inputs).items()}


def assert_equal(graph: Graph, arrays: Arrays, folded: Folded) -> None:
    before, after = run(graph, arrays), run(folded.graph, folded.arrays)
    assert {blob.id for blob in graph.outputs} <= set(after) <= set(before)
    for id, found in after.items():
        scale = max(float(np.abs(before[id]).max()), 1e-6)
        assert float(np.abs(found - before[id]).max()) <= TOLERANCE * scale, id


@pytest.mark.parametrize(("text", "left"), CASES.values(), ids=CASES)
def test_fold(text: str, left: str) -> None:
    graph = compiled(text, Options(phase="TEST"))
    arrays = random_arrays(graph)
    folded = fold(graph, arrays)
    assert " ".join(node.type for node in folded.graph.nodes) == left
    assert folded.graph.outputs == graph.outputs
    assert folded.graph.inputs == graph.inputs
    assert {*folded.removed} == {*graph.layers} - {*folded.graph.layers}
    assert folded.arrays.keys() == folded.graph.params.keys()
    assert_equal(graph, arrays, folded)


def test_statistics_that_hold_nothing_count_as_zero() -> None:
    graph = compiled(net(conv("x", "c"), norm("c", "c")), Options(phase="TEST"))
    arrays = random_arrays(graph, factor=0.0)
    assert_equal(graph, arrays, fold(graph, arrays))


def test_factors_of_one_and_shifts_of_zero_go() -> None:
    graph = compiled(net(layer("TanH", "x", "t"), scale("t", "s"), layer("ReLU", "s", "r")), Options(phase="TEST"))
    arrays = {"scale.weight": np.ones(4, np.float32), "scale.bias": np.zeros(4, np.float32)}
    assert [node.type for node in fold(graph, arrays).graph.nodes] == ["Input", "TanH", "ReLU"]
    arrays["scale.bias"][2] = 1
    assert fold(graph, arrays).removed == ()


def test_blob_that_is_asked_for_stays() -> None:
    graph = compiled(net(conv("x", "c"), norm("c", "n"), scale("n", "s")), Options(phase="TEST"))
    folded = fold(graph, random_arrays(graph), keep=["c"])
    assert [node.type for node in folded.graph.nodes] == ["Input", "Convolution", "Scale"]
    assert "c" in folded.graph.blobs


@pytest.mark.parametrize("phase", ["TRAIN"])
def test_net_that_trains_is_left_alone(phase: Any) -> None:
    graph = compiled(net(conv("x", "c"), scale("c", "c"), layer("Dropout", "c", "c")), Options(phase=phase))
    assert fold(graph, random_arrays(graph)).graph == graph


def test_batch_statistics_stay() -> None:
    used = layer("BatchNorm", "c", "c", "batch_norm_param { use_global_stats: false }")
    graph = compiled(net(conv("x", "c"), used), Options(phase="TEST"))
    assert fold(graph, random_arrays(graph)).removed == ()


@pytest.mark.parametrize("case", cases("nets"), ids=lambda case: case["name"])
def test_golden_nets(case: dict[str, Any]) -> None:
    graph = load(prototxt(case), Options(phase="TEST"))
    module = build_module(graph)
    weights = read_weights(Path(GOLDEN) / case["dir"] / "weights.caffemodel")
    load_arrays(module, graph, match(net_layers(graph), weights, shared=shared_blobs(graph)).arrays)
    arrays = {id: tensor.detach().numpy().copy() for id, tensor in tensors(module, graph).items()}
    folded = fold(graph, arrays)
    types = {node.type for node in folded.graph.nodes}
    assert not types & {"BatchNorm", "Scale", "Bias", "Dropout", "Split"}
    assert_equal(graph, arrays, folded)
