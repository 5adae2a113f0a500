"""`netdef verify MODEL` without a net: what the metadata tell, and models of other tools."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netdef.cli import main
from netdef.deploy import export, runtime
from netdef.deploy.examine import examine
from netdef.deploy.origin import find_origin
from netdef.diagnostics import NetdefError, RunError
from netdef.graph import Options, load
from netdef.ir import Shape
from tests.golden_cases import GOLDEN

LENET = GOLDEN / "nets/lenet"
FILES = ("net.prototxt", "weights.caffemodel")
TRAIN = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 8 } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with LeNet, its weights and its model; the working folder is another one."""
    there = tmp_path / "there"
    there.mkdir()
    for name in FILES:
        shutil.copy(LENET / name, there)
    net = load(there / FILES[0], Options(phase="TEST"))
    export(net, there / "m.onnx", weights=[there / FILES[1]], verify=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return there


def foreign(
    nodes: list[onnx.NodeProto], sizes: tuple[object, ...] = ("n", 4), kind: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """A model of somebody else with the weight w, 4x4, from x to y."""
    x = helper.make_tensor_value_info("x", kind, sizes)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"y{i}" for i in range(len(sizes))])
    w = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    graph = helper.make_graph(nodes, "foreign", [x], [y], [w])
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="elsewhere", producer_version="2")


MATMUL = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]


def verify(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["netdef", "verify", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_net_and_the_weights_are_found_beside_the_model(folder, monkeypatch, capsys):
    assert verify(monkeypatch, folder / "m.onnx") == 0
    out, err = capsys.readouterr()
    assert "all 8 blobs; torch against ONNX Runtime" in out
    assert err == ""


def test_or_in_the_working_folder(folder):
    for name in FILES:
        (folder / name).rename(name)
    origin = find_origin(onnx.load(folder / "m.onnx"), folder / "m.onnx")
    assert (origin.net, origin.weights) == (Path(FILES[0]).resolve(), (Path(FILES[1]).resolve(),))
    assert origin.complete


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda file: file.unlink(), "is neither beside it nor here", id="gone"),
        pytest.param(lambda file: file.write_text("changed"), "has changed since", id="changed"),
    ],
)
@pytest.mark.parametrize("name", FILES)
def test_lost_files_leave_two_runtimes_to_compare(folder, monkeypatch, capsys, name, spoil, says):
    spoil(folder / name)
    assert verify(monkeypatch, folder / "m.onnx") == 0
    out, err = capsys.readouterr()
    assert "onnx's reference evaluator against ONNX Runtime" in out
    assert "warning[ND0917]" in err
    assert f"{name} {says}" in err


def test_sizes_that_no_database_tells_are_the_models(tmp_path, monkeypatch, capsys):
    (tmp_path / "t.prototxt").write_text(TRAIN)
    net = load(tmp_path / "t.prototxt", Options(phase="TEST", shapes={"data": Shape.of(8, 2, 3, 3)}))
    export(net, tmp_path / "m.onnx", verify=False)
    assert verify(monkeypatch, tmp_path / "m.onnx") == 0
    assert "torch against ONNX Runtime" in capsys.readouterr().out


def test_a_foreign_model_is_examined(tmp_path, monkeypatch, capsys):
    onnx.save(foreign(MATMUL), tmp_path / "f.onnx")
    assert verify(monkeypatch, tmp_path / "f.onnx") == 0
    out, err = capsys.readouterr()
    assert "warning[ND0916]: netdef did not write this model (elsewhere 2)" in err
    assert "all 2 blobs; onnx's reference evaluator against ONNX Runtime at batch size 1 and 3" in out


@pytest.mark.parametrize("arguments", [["net.prototxt"], ["-w", "w.caffemodel"]], ids=["no weights", "no net"])
def test_net_and_weights_go_together(monkeypatch, capsys, arguments):
    assert verify(monkeypatch, "m.onnx", *arguments) == 2
    assert "go together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [(TensorProto.INT64, (2, 4)), (TensorProto.UINT8, ("n", 4)), (TensorProto.BOOL, (4, 4))],
    ids=["int64", "uint8", "bool"],
)
def test_inputs_of_other_types(kind, sizes):
    cast = helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)
    nodes = [cast, helper.make_node("MatMul", ["f", "w"], ["y"])]
    proof = examine(foreign(nodes, sizes, kind))
    assert [blob.name for blob in proof.blobs] == ["f", "y"]
    assert proof.largest.max_rel == 0


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("LRN", ["x"], ["y"], size=3),
        helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 1], pads=[1, 0, 0, 0], strides=[2, 1]),
        helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
        helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 1, 1, 0]),
        helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 1, 1, 0], count_include_pad=1),
        helper.make_node("ConvTranspose", ["x", "k"], ["y"], group=2, strides=[2, 1], output_padding=[1, 0]),
        helper.make_node("ConvTranspose", ["x", "k"], ["y"], group=2, pads=[0, 1, 0, 1], dilations=[1, 2]),
    ],
    ids=lambda node: node.op_type,
)
def test_the_evaluator_is_right_where_onnx_s_own_is_not(node):
    model = foreign([node], ("n", 4, 3, 3))
    k = np.random.default_rng(0).standard_normal((4, 2, 2, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(k, "k"))
    proof = examine(model)
    assert proof.expected == "onnx's reference evaluator"
    assert proof.largest.max_rel < 1e-6


def test_where_the_evaluator_lacks_an_operator_the_plain_runtime_stands_in():
    model = foreign([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")])
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert examine(model).expected == "ONNX Runtime without its optimiser"


def test_a_free_size_beside_the_batch_has_to_be_given():
    model = foreign(MATMUL, ("n", "m", 4))
    with pytest.raises(NetdefError, match="ND0918") as caught:
        examine(model)
    assert caught.value.diagnostics[0].help == ("give it, a number for each letter: --shape x=NxNx4",)
    assert examine(model, {"x": Shape((None, 5, 4))}).blobs[0].shape == (3, 5, 4)


def test_two_runtimes_that_part(monkeypatch):
    real = runtime.session

    def off_by_one(model: onnx.ModelProto) -> runtime.Run:
        run = real(model)
        return lambda feeds: {name: value + 1 for name, value in run(feeds).items()}

    monkeypatch.setattr(runtime, "session", off_by_one)
    with pytest.raises(RunError, match=r"ND0908.*ONNX Runtime and onnx's reference evaluator part at blob \"h\""):
        examine(foreign(MATMUL))
