"""Whole nets of real Caffe: every blob of the forward pass, every gradient of the backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from netdef.graph import Options, load
from netdef.targets.torch import build_module, load_arrays, net_layers, shared_blobs, tensors
from netdef.weights import match, read_weights
from tests.golden_cases import GOLDEN, arrays, assert_close, cases, group, prototxt

TOLERANCE = 1e-5
LOOSER = {"fcn": 1e-4, "inception": 1e-4}
"""Nets whose sums are long: thousands of float32 terms in another order than Caffe's."""

NETS = cases("nets")
FILES = [(case, name) for case in NETS for name in ("weights.caffemodel", "weights.caffemodel.h5")]
FILES = [(case, name) for case, name in FILES if (GOLDEN / case["dir"] / name).exists()]


@pytest.mark.parametrize(("case", "weights"), FILES, ids=[f"{case['name']}-{name}" for case, name in FILES])
def test_agrees_with_caffe(case: dict[str, Any], weights: str) -> None:
    graph = load(prototxt(case), Options(phase=case["phase"]))
    held = arrays(case)
    module = build_module(graph, outputs=[blob.id for node in graph.nodes for blob in node.tops])
    report = match(net_layers(graph), read_weights(GOLDEN / case["dir"] / weights), shared=shared_blobs(graph))
    assert report.left == ()
    load_arrays(module, graph, report.arrays)
    tolerance = LOOSER.get(case["name"], TOLERANCE)

    inputs = {name: torch.from_numpy(np.array(x)).float().requires_grad_() for name, x in group(held, "bottom").items()}
    blobs = module(**{module.meta["inputs"][name]: value for name, value in inputs.items()})
    for name, expected in group(held, "blob").items():
        assert_close(blobs[name].detach(), expected, tolerance, f"blob {name}")

    if not case["arrays"].keys() & {f"topdiff.{name}" for name in blobs}:
        return  # Embed refuses force_backward, so that Caffe's backward pass of this net is not there
    diffs = {name: torch.from_numpy(np.array(diff)) for name, diff in group(held, "topdiff").items()}
    torch.stack([(blobs[name] * diff).sum() for name, diff in diffs.items()]).sum().backward()
    for name, expected in group(held, "bottomdiff").items():
        grad = inputs[name].grad
        assert_close(
            torch.zeros_like(inputs[name]) if grad is None else grad, expected, tolerance, f"bottomdiff {name}"
        )
    for key, expected in group(held, "paramdiff").items():
        layer, _, index = key.rpartition(".")
        param = graph.layers[layer].params[int(index)]
        grad = tensors(module, graph)[param.id].grad
        if not param.spec.statistic and grad is not None:
            assert_close(grad.reshape(expected.shape), expected, tolerance, f"paramdiff {key}")
