"""ONNX Runtime against real Caffe: each golden case is exported and must give Caffe's own values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from netdef.deploy import runtime
from netdef.diagnostics import NetdefError
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.ir import Graph
from netdef.targets.onnx import COMMON_OPSET, OLDEST_OPSET, emit, value_names
from tests.golden_cases import arrays, assert_close, cases, group, prototxt

OPSETS = (OLDEST_OPSET, 18, COMMON_OPSET, runtime.newest_runnable())

LOSSES = (
    "ContrastiveLoss",
    "EuclideanLoss",
    "HingeLoss",
    "InfogainLoss",
    "MultinomialLogisticLoss",
    "SigmoidCrossEntropyLoss",
    "SoftmaxWithLoss",
)
REFUSED_TYPES = {
    **dict.fromkeys(LOSSES, "ND0901"),
    "Accuracy": "ND0901",
    "DummyData": "ND0906",
    "Silence": "ND0906",
}
"""Layer types that have no meaning in a model that predicts, with the code that says so."""

FIXED_BATCH = {
    "bias_axis0_2": "the bias has a row for each row of the batch",
    "scale_axis0_2": "the scale has a row for each row of the batch",
    "reshape_explicit": "the batch is written out in the new shape",
}
"""Cases whose batch cannot be free."""

OTHER_VALUES = {
    "lstm_two_pass": "Caffe keeps the state of an earlier forward, a model has none",
    "rnn_two_pass": "Caffe keeps the state of an earlier forward, a model has none",
}
"""Cases where the model must not be expected to give Caffe's values."""

LAYERS = cases("layers")
NETS = cases("nets")
MEANINGFUL = [case for case in LAYERS if case["layer_type"] not in REFUSED_TYPES]
PLAIN = [case for case in MEANINGFUL if case["name"] not in OTHER_VALUES]


def ids_of(chosen: list[dict[str, Any]]) -> list[str]:
    return [case["name"] for case in chosen]


def graph_of(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Graph:
    monkeypatch.chdir(prototxt(case).parent)
    return load(prototxt(case), Options(phase=case["phase"]))


def emitted(case: dict[str, Any], graph: Graph, opset: int) -> onnx.ModelProto:
    """The case's model with Caffe's parameters, the batch free where it can be."""
    held = group(arrays(case), "param")
    params = {param.id: held[f"{node.name}.{i}"] for node in graph.nodes for i, param in enumerate(node.params)}
    batch = graph.inputs[0].shape[0] if case["name"] in FIXED_BATCH else None
    return emit(graph, params, opset=opset, batch=batch)


def agrees(
    case: dict[str, Any],
    graph: Graph,
    model: onnx.ModelProto,
    key: str,
    start: Callable[[onnx.ModelProto], runtime.Run] = runtime.session,
) -> int:
    """Compare every array `key.<blob>` of the case with the model's value; returns how many there are."""
    held = arrays(case)
    names = value_names(graph)
    made = {name for node in model.graph.node for name in node.output}
    expected = {names[id]: value for id, value in group(held, key).items() if names.get(id) in made}
    bottoms = group(held, "bottom")
    feeds = {names[blob.id]: bottoms[blob.name].astype(np.float32) for blob in graph.inputs}
    with runtime.exposing(model, list(expected)):
        found = start(model)(feeds)
    for name, value in expected.items():
        assert_close(found[name], value, 1e-5, f"{key} {name}")
    return len(expected)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("case", PLAIN, ids=ids_of(PLAIN))
def test_layer_agrees_with_caffe(case: dict[str, Any], opset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(case, monkeypatch)
    model = emitted(case, graph, opset)
    onnx.checker.check_model(model)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert agrees(case, graph, model, "top")


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("case", NETS, ids=ids_of(NETS))
def test_net_agrees_with_caffe_in_every_blob(case: dict[str, Any], opset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = deploy(graph_of(case, monkeypatch))
    assert agrees(case, graph, emitted(case, graph, opset), "blob") >= 4


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("case", PLAIN, ids=ids_of(PLAIN))
def test_the_evaluator_agrees_with_caffe(case: dict[str, Any], opset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(case, monkeypatch)
    assert agrees(case, graph, emitted(case, graph, opset), "top", runtime.reference)


REFUSED = [case for case in LAYERS if case["layer_type"] in REFUSED_TYPES]


@pytest.mark.parametrize("case", REFUSED, ids=ids_of(REFUSED))
def test_what_has_no_meaning_is_refused(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(case, monkeypatch)
    code = REFUSED_TYPES[case["layer_type"]]
    with pytest.raises(NetdefError) as caught:
        emitted(case, graph, COMMON_OPSET)
    assert {found.code for found in caught.value.diagnostics} == {code}
    assert all(found.span or code == "ND0906" for found in caught.value.diagnostics)


@pytest.mark.parametrize("name", FIXED_BATCH)
def test_a_batch_that_is_not_free(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in LAYERS if case["name"] == name)
    graph = graph_of(case, monkeypatch)
    held = {param.id: np.zeros(param.spec.shape.known_sizes(), np.float32) for param in graph.params.values()}
    with pytest.raises(NetdefError, match="ND0905"):
        emit(graph, held, opset=COMMON_OPSET)


def test_each_table_names_cases_that_are_there() -> None:
    known = set(ids_of(LAYERS))
    assert {*FIXED_BATCH, *OTHER_VALUES} <= known
    assert set(REFUSED_TYPES) <= {case["layer_type"] for case in LAYERS}
