"""Every layer case of real Caffe: forward, backward, parameter gradients and statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx

from netdef.graph import Options, load
from netdef.ir import Graph
from netdef.ir.fill import fill
from netdef.layers.data import DummyData
from netdef.solver.device import products
from netdef.targets.torch import build_module, layout, load_arrays, tensors
from tests.golden_cases import Arrays, arrays, assert_close, cases, group, prototxt

TOLERANCE = 1e-5
GPU_TOLERANCE = 1e-4
"""A GPU's sums have another order, and convolutions by transforms round more."""
_CANCELS = "the identity layer's one bias gets a sum whose terms cancel to 0: what is left is rounding"
LOOSER: dict[str, tuple[float, str]] = {
    "infogain_bottom": (1e-4, _CANCELS),
    "infogain_spatial_ignore": (1e-4, _CANCELS),
}
"""Cases that need more than TOLERANCE, each with the tolerance and the reason."""

LAYERS = cases("layers")


each = pytest.mark.parametrize("case", LAYERS, ids=[case["name"] for case in LAYERS])


@each
def test_agrees_with_caffe(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prototxt(case).parent)
    hold(case, "cpu", channels_last=False)


@pytest.mark.gpu
@pytest.mark.parametrize("channels_last", [False, True])
@each
def test_a_gpu_agrees_with_caffe(case: dict[str, Any], channels_last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prototxt(case).parent)
    with products(to_tf32=False):
        hold({**case, "tolerance": GPU_TOLERANCE}, "cuda", channels_last=channels_last)


def hold(case: dict[str, Any], device: str, *, channels_last: bool) -> None:
    graph = load(prototxt(case), Options(phase=case["phase"]))
    held = arrays(case)
    module = build_module(graph, outputs=[blob.id for node in graph.nodes for blob in node.tops], device=device)
    load_arrays(module, graph, _params(held))
    if channels_last:
        layout.to_channels_last(module)
    if group(held, "bottom_prev"):
        assert_tops(case, graph, run(module, graph, group(held, "bottom_prev"), device), group(held, "top_prev"))
    inputs = leaves(graph, group(held, "bottom"), device, channels_last)
    tops = run(module, graph, inputs, device)
    assert_tops(case, graph, tops, group(held, "top"))
    for key, expected in group(held, "param_after").items():
        layer, _, i = key.rpartition(".")
        param = graph.layers[layer].params[int(i)]
        assert_close(tensors(module, graph)[param.id].detach().cpu(), expected, tolerance(case), f"param_after {key}")
    if case["backward"]:
        check_gradients(case, graph, module, inputs, tops, held)


def check_gradients(
    case: dict[str, Any],
    graph: Graph,
    module: fx.GraphModule,
    inputs: dict[str, Tensor],
    tops: dict[str, Tensor],
    held: Arrays,
) -> None:
    diffs = {
        key: torch.from_numpy(np.array(value)).to(tops[key].device) for key, value in group(held, "topdiff").items()
    }
    terms = [(tops[name] * diff).sum() for name, diff in diffs.items() if tops[name].requires_grad]
    if terms:
        torch.stack(terms).sum().backward()
    for name, expected in group(held, "bottomdiff").items():
        assert_close(_grad(inputs[name]), expected, tolerance(case), f"bottomdiff {name}")
    terms = max((float(np.abs(diff).max(initial=0)) for diff in group(held, "bottomdiff").values()), default=1e-3)
    for key, expected in group(held, "paramdiff").items():
        layer, _, i = key.rpartition(".")
        param = graph.layers[layer].params[int(i)]
        if not param.spec.statistic:
            grad = _grad(tensors(module, graph)[param.id])
            assert_close(grad.reshape(expected.shape), expected, tolerance(case), f"paramdiff {key}", terms)


def leaves(graph: Graph, bottoms: Arrays, device: str = "cpu", channels_last: bool = False) -> dict[str, Tensor]:
    found = {name: torch.from_numpy(np.array(value)).float().to(device) for name, value in bottoms.items()}
    found = {name: layout.channels_last(value) if channels_last else value for name, value in found.items()}
    return {name: value.requires_grad_() for name, value in found.items()}


def run(module: fx.GraphModule, graph: Graph, bottoms: dict[str, Any], device: str = "cpu") -> dict[str, Tensor]:
    names = module.meta["inputs"]
    given = {**_dummies(graph), **bottoms}
    found = module(**{names[blob.id]: torch.as_tensor(given[blob.name], device=device) for blob in graph.inputs})
    assert isinstance(found, dict)
    return found


def assert_tops(case: dict[str, Any], graph: Graph, tops: dict[str, Tensor], expected: Arrays) -> None:
    for name, value in expected.items():
        assert_close(tops[name].detach().cpu(), value, tolerance(case), f"top {name}")


def tolerance(case: dict[str, Any]) -> float:
    return max(LOOSER.get(case["name"], (TOLERANCE, ""))[0], case.get("tolerance", 0.0))


def _dummies(graph: Graph) -> dict[str, Any]:
    """What the DummyData layers of a net bring in."""
    layers = [(node, node.layer) for node in graph.nodes if isinstance(node.layer, DummyData)]
    rng = np.random.default_rng(0)
    return {
        blob.name: fill(filler, shape.known_sizes(), rng)
        for node, layer in layers
        for blob, filler, shape in zip(node.tops, layer.fillers, layer.shapes, strict=True)
    }


def _grad(tensor: Tensor) -> Tensor:
    return (torch.zeros_like(tensor) if tensor.grad is None else tensor.grad).cpu()


def _params(held: Arrays) -> dict[tuple[str, int], Any]:
    found = {}
    for key, value in group(held, "param").items():
        layer, _, i = key.rpartition(".")
        found[layer, int(i)] = value
    return found
