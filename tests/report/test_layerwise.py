"""Is a net that is computed one layer at a time the net? Outputs and gradients against autograd on the whole."""

from __future__ import annotations

import pytest
import torch

from netdef.graph import Options, load
from netdef.report.layerwise import add_gradients, end_gradients, steps
from netdef.report.trial import random_values
from netdef.targets.torch import build_module
from tests.golden_cases import GOLDEN


@pytest.mark.parametrize("name", ["lenet", "inception", "residual", "legacy_v1"])
def test_layer_by_layer_is_the_whole(name: str) -> None:
    graph = load(GOLDEN / f"nets/{name}/net.prototxt", Options(phase="TEST"))
    whole = build_module(graph).double()
    values = random_values(graph, torch.Generator().manual_seed(0), torch.float64)
    outputs = whole(**{whole.meta["inputs"][id]: value for id, value in values.items()})
    ends = [outputs[blob.id].sum() * weight for blob, weight in graph.losses()] or [y.sum() for y in outputs.values()]
    torch.stack([end for end in ends if end.requires_grad]).sum().backward()
    expected = {name: p.grad for name, p in whole.named_parameters()}
    whole.zero_grad()

    made = steps(graph, whole)
    for step in made:
        step.module.double()
        step.bring(values)
        values.update(step.forward())
    gradients = end_gradients(graph, values)
    for step in reversed(made):
        tops, seeds = step.seeds(gradients)
        if tops:
            torch.autograd.backward(tops, seeds)
            add_gradients(step, gradients)

    for id, output in outputs.items():
        torch.testing.assert_close(values[id], output)
    for parameter, gradient in expected.items():
        torch.testing.assert_close(whole.get_parameter(parameter).grad, gradient, msg=parameter)
