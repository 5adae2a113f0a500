"""A layer with fields and shapes drawn at random, held against its definition: torch, its slopes, and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netdef.deploy import runtime
from netdef.diagnostics import NetdefError, Source
from netdef.graph import Options, load
from netdef.ir import Graph, Node
from netdef.targets.onnx import COMMON_OPSET, OLDEST_OPSET, emit, value_names
from netdef.targets.torch import build_module, load_arrays, tensors

Array = NDArray[Any]
Definition = Callable[[list[Array], list[Array]], list[Array]]
"""From the bottoms and the parameters to the tops, in float64."""

STEP = 1e-6
"""How far the definition is followed to both sides for its slope."""


@dataclass(frozen=True)
class Trial:
    """A layer, its bottoms, and what it must compute.

    Attributes:
        layer: its body, without bottoms and tops.
        definition: what its tops must be.
        fixed: the index of a bottom that no gradient flows to.
        num_tops: how many tops it has.
        smooth: whether it has slopes.
        exported: whether it has a counterpart in ONNX.
    """

    layer: str
    definition: Definition
    bottoms: list[Array]
    fixed: int | None = None
    num_tops: int = 1
    smooth: bool = True
    exported: bool = True

    @property
    def prototxt(self) -> str:
        """The net of the layer alone, its inputs called b0, b1 and so on, its tops t0, t1."""
        shapes = [value.shape for value in self.bottoms]
        inputs = [f"input: 'b{i}' input_shape {{ {' '.join(f'dim: {d}' for d in s)} }}" for i, s in enumerate(shapes)]
        ends = [f"bottom: 'b{i}'" for i in range(len(shapes))] + [f"top: 't{i}'" for i in range(self.num_tops)]
        return f"force_backward: true {' '.join(inputs)} layer {{ name: 'l' {self.layer} {' '.join(ends)} }}"


def hold(trial: Trial, rng: np.random.Generator) -> None:
    """Fail where netdef's layer is not what its definition says."""
    graph = load(Source("net.prototxt", trial.prototxt), Options(phase="TEST"))
    node = graph.layers["l"]
    params = [_normal(rng, param.spec.shape.known_sizes()) for param in node.params]
    expected = trial.definition(_wide(trial.bottoms), _wide(params))
    for blob, top in zip(node.tops, expected, strict=True):
        assert blob.shape.known_sizes() == top.shape, f"{blob.id} is said to be {blob.shape}, is {top.shape}"
    _hold_torch(trial, graph, node, params, expected, rng)
    if trial.exported:
        _hold_onnx(trial, graph, node, params, expected)


def _hold_torch(
    trial: Trial, graph: Graph, node: Node, params: list[Array], expected: list[Array], rng: np.random.Generator
) -> None:
    module = build_module(graph, outputs=[blob.id for blob in node.tops])
    load_arrays(module, graph, {("l", i): param for i, param in enumerate(params)})
    inputs = [torch.from_numpy(value).requires_grad_(i != trial.fixed) for i, value in enumerate(trial.bottoms)]
    found = module(**{module.meta["inputs"][f"b{i}"]: value for i, value in enumerate(inputs)})
    tops = [found[blob.id] for blob in node.tops]
    for top, value in zip(tops, expected, strict=True):
        _assert_near(top.detach().numpy(), value, "torch")
    if trial.smooth:
        held = tensors(module, graph)
        _hold_slopes(trial, tops, [*inputs, *(held[param.id] for param in node.params)], params, rng)


def _hold_slopes(
    trial: Trial, tops: list[Tensor], leaves: list[Tensor], params: list[Array], rng: np.random.Generator
) -> None:
    """Along a direction of its own for each bottom and parameter, the tops' weighted sum climbs as the definition's."""
    weights = [_normal(rng, tuple(top.shape)) for top in tops]
    torch.stack(
        [(top * torch.from_numpy(weight)).sum() for top, weight in zip(tops, weights, strict=True)]
    ).sum().backward()
    values, num_bottoms = _wide([*trial.bottoms, *params]), len(trial.bottoms)

    def total(moved: list[Array]) -> float:
        answer = trial.definition(moved[:num_bottoms], moved[num_bottoms:])
        return sum(float((top * weight).sum()) for top, weight in zip(answer, weights, strict=True))

    for i, (leaf, value) in enumerate(zip(leaves, values, strict=True)):
        if i == trial.fixed:
            continue
        direction = _normal(rng, value.shape)
        ahead, behind = (total([*values[:i], value + s * STEP * direction, *values[i + 1 :]]) for s in (1, -1))
        gradient = np.zeros(value.shape) if leaf.grad is None else leaf.grad.numpy().astype(np.float64)
        size = float(np.abs(gradient * direction).sum()) + 1e-2
        slope = float((gradient * direction).sum())
        assert abs(slope - (ahead - behind) / (2 * STEP)) < 1e-4 * size, f"the gradient of leaf {i} is no slope"


def _hold_onnx(trial: Trial, graph: Graph, node: Node, params: list[Array], expected: list[Array]) -> None:
    arrays = {param.id: value for param, value in zip(node.params, params, strict=True)}
    names = value_names(graph)
    feeds = {names[f"b{i}"]: value for i, value in enumerate(trial.bottoms)}
    for opset in (OLDEST_OPSET, COMMON_OPSET):
        found = runtime.session(_model(graph, arrays, opset))(feeds)
        for blob, value in zip(node.tops, expected, strict=True):
            _assert_near(found[names[blob.id]], value, f"opset {opset}")


def _model(graph: Graph, arrays: dict[str, Array], opset: int) -> Any:
    """With a free batch where the layer allows it."""
    try:
        return emit(graph, arrays, opset=opset)
    except NetdefError as refusal:
        if {found.code for found in refusal.diagnostics} != {"ND0905"}:
            raise
        return emit(graph, arrays, opset=opset, batch=graph.inputs[0].shape[0])


def _assert_near(found: Array, expected: Array, what: str) -> None:
    assert found.shape == expected.shape, f"{what}: {found.shape}, expected {expected.shape}"
    scale = max(float(np.abs(expected).max(initial=0)), 1e-2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale, err_msg=what)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.standard_normal(shape), np.float32)


def _wide(values: list[Array]) -> list[Array]:
    return [np.asarray(value, np.float64) for value in values]
