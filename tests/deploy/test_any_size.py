"""`netdef export --spatial dynamic`: one model for images of any size, proven at two of them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import pytest
from torch import fx

from netdef.cli import main
from netdef.deploy import export, prove, replay, runtime
from netdef.deploy.twin import run_torch, torch_twin
from netdef.diagnostics import NetdefError, Source
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.ir import Graph, Shape
from netdef.targets.onnx import COMMON_OPSET, emit, grown, growth_of, sizes
from netdef.targets.torch import build_module, load_arrays, tensors
from tests.golden_cases import GOLDEN, arrays, cases, group, prototxt

FCN = GOLDEN / "nets/fcn"
WEIGHTS = (FCN / "weights.caffemodel",)
INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }'


def net(*layers: str) -> Graph:
    return deploy(load(Source("net.prototxt", "\n".join((INPUT, *layers))), Options(phase="TEST")))


@pytest.fixture
def fcn() -> Graph:
    return load(FCN / "net.prototxt", Options(phase="TEST"))


def test_a_fully_convolutional_net(fcn, tmp_path):
    report = export(fcn, tmp_path / "m.onnx", weights=WEIGHTS, any_size=True)
    assert report.inputs == {"data": ("batch", 3, "height", "width")}
    assert report.proof.image_sizes == ((19, 22), (56, 43))
    assert report.proof.largest.max_rel < 1e-5
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert props["netdef.verified_image_sizes"] == "19x22,56x43"


@pytest.mark.parametrize("size", [(19, 22), (20, 24), (33, 17)])
def test_it_computes_what_torch_does_with_a_net_of_that_size(fcn, tmp_path, size):
    export(fcn, tmp_path / "m.onnx", weights=WEIGHTS, any_size=True, verify=False)
    image = np.random.default_rng(3).standard_normal((1, 3, *size), np.float32)
    text = (FCN / "net.prototxt").read_text()
    assert "dim: 19" in text
    other = load(
        Source("net.prototxt", text.replace("dim: 19", f"dim: {size[0]}").replace("dim: 22", f"dim: {size[1]}")),
        Options(phase="TEST"),
    )
    graph = deploy(other)
    module, _ = torch_twin(graph, WEIGHTS, 0)
    expected = run_torch(module, {"data": image})
    (found,) = runtime.session(tmp_path / "m.onnx")({"data": image}).values()
    np.testing.assert_allclose(found, expected[graph.outputs[0].id], atol=1e-5)


def test_replay_tries_two_sizes_as_well(fcn, tmp_path):
    report = export(fcn, tmp_path / "m.onnx", weights=WEIGHTS, any_size=True)
    assert replay(tmp_path / "m.onnx", fcn, weights=WEIGHTS) == report.proof


def test_with_a_fixed_batch(fcn, tmp_path):
    report = export(fcn, tmp_path / "m.onnx", weights=WEIGHTS, any_size=True, batch=2)
    assert report.inputs == {"data": (2, 3, "height", "width")}


CONV = 'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }'
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "c" top: "fc" inner_product_param { num_output: 5 } }'
RESHAPE = 'layer { name: "r" type: "Reshape" bottom: "c" top: "r" reshape_param { shape { dim: 0 dim: 4 dim: 36 } } }'
FREE = 'layer { name: "r" type: "Reshape" bottom: "c" top: "r" reshape_param { shape { dim: 0 dim: 4 dim: -1 } } }'
DOWN = 'layer { name: "d" type: "Pooling" bottom: "x" top: "d" pooling_param { kernel_size: 2 stride: 2 } }'
UP = (
    'layer { name: "u" type: "Deconvolution" bottom: "d" top: "u" '
    "convolution_param { num_output: 3 kernel_size: 2 stride: 2 } }"
)
SUM = 'layer { name: "s" type: "Eltwise" bottom: "x" bottom: "u" top: "s" }'


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        pytest.param(
            (CONV, FC), r'InnerProduct "fc" allows no other size of the images: its weight', id="InnerProduct"
        ),
        pytest.param((CONV, RESHAPE), r'Reshape "r" allows no other size of the images', id="Reshape"),
    ],
)
def test_layers_that_fix_the_size(layers, says):
    with pytest.raises(NetdefError, match=f"ND0919.*{says}") as caught:
        sizes(net(*layers), None, any_size=True)
    assert caught.value.diagnostics[0].span.line == 3


def test_a_reshape_that_infers_its_size():
    assert sizes(net(CONV, FREE), None, any_size=True)["r"] == Shape((None, 4, None))


def test_a_net_that_goes_down_and_up_again_is_tried_at_sizes_that_it_takes():
    graph = net(DOWN, UP, SUM)
    assert growth_of(graph, ((37, 21), (64, 32))) == (64, 32)
    assert grown(graph, (64, 32)).blobs["s"].shape == Shape.of(2, 3, 72, 40)


def test_a_net_without_images():
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
    layer = 'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }'
    graph = load(Source("net.prototxt", text + layer), Options(phase="TEST"))
    with pytest.raises(NetdefError, match="ND0919"):
        sizes(graph, None, any_size=True)


def test_the_command(monkeypatch, capsys, tmp_path):
    arguments = ["export", FCN / "net.prototxt", "-w", WEIGHTS[0], "-o", tmp_path / "m.onnx", "--spatial", "dynamic"]
    monkeypatch.setattr(sys, "argv", ["netdef", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert "images of 19x22 and 56x43" in capsys.readouterr().out


def _images(case: dict[str, Any]) -> bool:
    return any(len(sizes) == 4 for sizes in (value.shape for value in group(arrays(case), "bottom").values()))


CASES = [case for case in cases("layers") if _images(case)]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_each_layer_is_right_at_another_size_or_refused(case, monkeypatch):
    monkeypatch.chdir(prototxt(case).parent)
    graph = deploy(load(prototxt(case), Options(phase=case["phase"])))
    made, refused = _emitted(case, graph)
    assert refused <= {"ND0901", "ND0902", "ND0906", "ND0919"}
    if made:
        proof = prove(graph, *made, batch=graph.inputs[0].shape[0], any_size=True)
        assert len(proof.image_sizes) == 2
        assert proof.largest is not None
        assert proof.largest.max_rel < 1e-5


def _emitted(case: dict[str, Any], graph: Graph) -> tuple[tuple[fx.GraphModule, onnx.ModelProto] | None, set[str]]:
    """The case in torch and ONNX, or the codes of what stands in the way."""
    try:
        module = build_module(graph, outputs=[*graph.blobs], rng=np.random.default_rng(0))
        held = {tuple(key.rsplit(".", 1)): value for key, value in group(arrays(case), "param").items()}
        load_arrays(module, graph, {(layer, int(i)): value for (layer, i), value in held.items()})
        params = {id: tensor.detach().numpy() for id, tensor in tensors(module, graph).items()}
        model = emit(graph, params, opset=COMMON_OPSET, batch=graph.inputs[0].shape[0], any_size=True)
    except NetdefError as refusal:
        return None, {found.code for found in refusal.diagnostics}
    return (module, model), set()
