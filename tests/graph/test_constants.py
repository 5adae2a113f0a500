"""What no input decides is computed once: in torch, in ONNX Runtime, and in a written prototxt with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from netdef.deploy import export
from netdef.deploy.folding import fold_files
from netdef.deploy.twin import in_torch, loaded, run_torch
from netdef.diagnostics import Source
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.graph.fold import fold
from netdef.graph.load import load_written
from netdef.ir import Graph
from netdef.targets.onnx import sizes
from netdef.weights import read_weights
from tests.graph.test_fold import fc, layer, net, random_arrays

TWO = (
    'layer { name: "two" type: "DummyData" top: "two" dummy_data_param { shape { dim: 4 } data_filler { value: 2 } } }'
)
ROWS = TWO.replace("dim: 4", "dim: 2 dim: 6").replace('"two"', '"rows"')
WEIGHT = 'layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 4 } } }'
SQUARED = layer("Power", "w", "v", "power_param { power: 2 shift: 1 }", "v")
TILES = "reshape_param { shape { dim: 1 dim: 4 } }"

CASES = {
    "a factor that a DummyData holds": (net(TWO, layer("Scale", "x two", "s")), "Input Scale"),
    "a shift computed of a parameter": (net(WEIGHT, SQUARED, layer("Bias", "x v", "b")), "Input Bias"),
    "and so on into a convolution": (
        net(
            TWO,
            WEIGHT,
            layer("Eltwise", "two w", "sum"),
            layer("Convolution", "x", "c", "convolution_param { num_output: 4 kernel_size: 1 }", "c"),
            layer("Scale", "c sum", "c"),
        ),
        "Input Convolution",
    ),
    "repeated, cut and given new sizes": (
        net(
            WEIGHT,
            layer("Reshape", "w", "row", TILES),
            layer("Tile", "row", "rows", "tile_param { axis: 0 tiles: 3 }"),
            layer("Slice", "rows", "a b c", "slice_param { axis: 0 }"),
            layer("Flatten", "b", "flat", "flatten_param { axis: 0 }"),
            layer("Scale", "x flat", "s"),
            layer("Silence", "a c", ""),
        ).replace(' top: ""', ""),
        "Input Scale",
    ),
    "a constant that is an output": (
        net(TWO, layer("Power", "two", "four", "power_param { scale: 2 }"), fc("x", "f")),
        "Input Parameter InnerProduct",
    ),
    "one with two readers": (
        net(TWO, layer("Scale", "x two", "s"), layer("Bias", "s two", "b")),
        "Input Parameter Scale Bias",
    ),
    "a factor along the batch is none of the layer's own": (
        net(TWO.replace("dim: 4", "dim: 2"), layer("Scale", "x two", "s", "scale_param { axis: 0 }")),
        "Input DummyData Scale",
    ),
    "a state that goes on from call to call": (
        net(
            'layer { name: "d" type: "DummyData" top: "d" top: "cont" dummy_data_param {'
            " shape { dim: 3 dim: 1 dim: 4 } shape { dim: 3 dim: 1 } data_filler { value: 1 } } }",
            layer("LSTM", "d cont", "h", "recurrent_param { num_output: 2 }"),
            fc("x", "f"),
        ),
        "Parameter Parameter Input LSTM InnerProduct",
    ),
}


def deployed(text: str) -> Graph:
    return deploy(load(Source("net.prototxt", text), Options(phase="TEST")))


def values(graph: Graph, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(2)
    feed = {b.id: generator.standard_normal(b.shape.known_sizes()).astype(np.float32) for b in graph.inputs}
    return run_torch(loaded(graph, arrays), feed)


@pytest.mark.parametrize(("text", "left"), CASES.values(), ids=CASES)
def test_what_no_input_decides_is_stored(text: str, left: str) -> None:
    graph = deployed(text)
    arrays = random_arrays(graph)
    folded = fold(graph, arrays, evaluate=in_torch)
    assert " ".join(sorted(n.type for n in folded.graph.nodes)) == " ".join(sorted(left.split()))
    assert folded.graph.inputs == graph.inputs
    assert folded.graph.outputs == graph.outputs
    before, after = values(graph, arrays), values(folded.graph, folded.arrays)
    for id, found in after.items():
        np.testing.assert_allclose(found, before[id], rtol=1e-5, atol=1e-6, err_msg=id)


def test_a_parameter_without_axes_keeps_none(tmp_path: Path) -> None:
    scalar = net(layer("Scale", "x", "s", "scale_param { num_axes: 0 bias_term: true }"), layer("ReLU", "s", "r"))
    graph = deployed(scalar)
    arrays = random_arrays(graph)
    assert {array.shape for array in arrays.values()} == {()}
    assert values(graph, arrays)["s"].shape == (2, 4, 5, 6)
    export(graph, tmp_path / "m.onnx", fold=False)
    assert {tuple(tensor.dims) for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer} == {()}


def test_what_only_a_power_of_scale_0_reads_is_not_computed(tmp_path: Path) -> None:
    text = net(
        layer("Convolution", "x", "c", "convolution_param { num_output: 4 kernel_size: 3 pad: 1 }", "c"),
        layer("Power", "c", "p", "power_param { scale: 0 shift: 3 power: 2 }"),
        layer("Eltwise", "x p", "e"),
    )
    graph = deployed(text)
    report = export(graph, tmp_path / "m.onnx")  # proven at two batch sizes
    types = {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert "Conv" not in types
    assert report.proof.batch_sizes == (1, 3)
    export(graph, tmp_path / "m.onnx", batch=5)
    export(graph, tmp_path / "m.onnx", any_size=True)
    assert "Conv" in {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    folded = fold(graph, random_arrays(graph), evaluate=in_torch, fixed_size=True)
    found = values(folded.graph, folded.arrays)
    assert found["p"].shape == (2, 4, 5, 6)
    assert (found["p"] == 9).all()
    assert graph.inputs == folded.graph.inputs


def test_by_hand() -> None:
    text = net(
        TWO, layer("Power", "two", "p", "power_param { power: 3 scale: 2 shift: -1 }"), layer("Bias", "x p", "b")
    )
    folded = fold(deployed(text), {}, evaluate=in_torch)
    assert {id: array.tolist() for id, array in folded.arrays.items()} == {"bias.bias": [27.0] * 4}


def test_they_leave_as_prototxt_and_weights_and_as_onnx(tmp_path: Path) -> None:
    text = net(
        WEIGHT, SQUARED, TWO, layer("Eltwise", "v two", "e"), layer("Scale", "x e", "s"), fc("s", "f"), fc("e", "g")
    )
    text = text.replace('name: "fc" type: "InnerProduct" bottom: "e"', 'name: "fc2" type: "InnerProduct" bottom: "e"')
    text = text.replace(
        'bottom: "e" top: "g" inner_product_param { num_output: 6',
        'bottom: "e" top: "g" inner_product_param { axis: 0 num_output: 6',
    )
    written, new = tmp_path / "net.prototxt", (tmp_path / "new.prototxt", tmp_path / "new.caffemodel")
    written.write_text(text)
    graph, messages = load_written(written, Options(phase="TEST"))
    export(graph, tmp_path / "net.onnx")  # proven against the net as it is
    model = onnx.load(tmp_path / "net.onnx")
    assert [node.op_type for node in model.graph.node] == ["Flatten", "Gemm", "Identity"]
    report = fold_files(graph, messages, [], prototxt_path=new[0], weights_path=new[1])
    assert report.layers == (8, 3)
    again = load(new[0], Options(phase="TEST"))
    assert [node.type for node in again.nodes] == ["Input", "InnerProduct", "Parameter"]
    assert read_weights(new[1]).keys() >= {"fc"}


def test_a_net_of_constants_alone_takes_them_for_its_data() -> None:
    assert [blob.id for blob in deployed(TWO + fc("two", "f").replace("output: 6", "output: 6 axis: 0")).inputs] == [
        "two"
    ]


DATA = """
layer { name: "data" type: "MemoryData" top: "x" top: "y"
        memory_data_param { batch_size: 2 channels: 6 height: 1 width: 1 } }
"""


def test_what_is_as_long_as_the_batch_follows_it(tmp_path: Path) -> None:
    text = ROWS + DATA + fc("x", "f") + layer("Eltwise", "f rows", "e", "eltwise_param { operation: PROD }")
    written = tmp_path / "net.prototxt"
    written.write_text(text)
    graph, messages = load_written(written, Options(phase="TEST"))
    report = export(graph, tmp_path / "net.onnx")
    assert report.proof.batch_sizes == (1, 3)
    assert report.inputs == {"x": ("batch", 6, 1, 1)}
    new = tmp_path / "new.prototxt", tmp_path / "new.caffemodel"
    fold_files(graph, messages, [], prototxt_path=new[0], weights_path=new[1])
    again = deploy(load(new[0], Options(phase="TEST")))
    assert {blob.id: str(blob.shape) for blob in again.blobs.values()} == {
        "x": "1x6x1x1",
        "rows": "1x6",
        "f": "1x6",
        "e": "1x6",
    }
    assert sizes(again, None)["e"].sizes == (None, 6)


def test_what_has_other_rows_keeps_them() -> None:
    graph = deployed(DATA + ROWS.replace("dim: 2 dim: 6", "dim: 6") + layer("Scale", "x rows", "s"))
    assert [node.bottoms for node in graph.nodes if node.type == "DummyData"] == [()]
