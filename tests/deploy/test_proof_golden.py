"""ONNX Runtime against torch on random input, at batch sizes 1, 2 and 5: each golden case with a meaning in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from netdef.deploy import prove
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.targets.onnx import COMMON_OPSET, emit
from netdef.targets.torch import build_module, load_arrays, tensors
from tests.golden_cases import arrays, cases, group, prototxt

NOTHING_LEFT = {
    "Accuracy",
    "ContrastiveLoss",
    "DummyData",
    "EuclideanLoss",
    "HingeLoss",
    "MultinomialLogisticLoss",
    "Silence",
}
"""Types whose case computes nothing once labels and losses are gone."""

FIXED_BATCH = {"bias_axis0_2", "scale_axis0_2", "reshape_explicit"}

DEGENERATE = {"batchnorm_train_2d": "a batch of 1 minus its own mean is 0, and one rounding is not another's"}

CASES = [
    case
    for case in cases("layers") + cases("nets")
    if case.get("layer_type") not in NOTHING_LEFT and case["name"] not in DEGENERATE
]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_onnx_runtime_computes_what_torch_does(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prototxt(case).parent)
    graph = deploy(load(prototxt(case), Options(phase=case["phase"])))
    held = {tuple(key.rsplit(".", 1)): value for key, value in group(arrays(case), "param").items()}
    module = build_module(graph, outputs=[*graph.blobs], rng=np.random.default_rng(0))
    load_arrays(module, graph, {(layer, int(i)): value for (layer, i), value in held.items()})
    params = {id: tensor.detach().numpy() for id, tensor in tensors(module, graph).items()}
    batch = graph.inputs[0].shape[0] if case["name"] in FIXED_BATCH else None
    model = emit(graph, params, opset=COMMON_OPSET, batch=batch)
    proof = prove(graph, module, model, batch=batch, batch_sizes=(1, 2, 5))
    assert {blob.name for blob in proof.blobs} == set(graph.blobs) - {blob.id for blob in graph.inputs}
    assert proof.largest is not None
    assert proof.largest.max_rel < 1e-5
