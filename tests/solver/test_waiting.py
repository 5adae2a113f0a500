"""Does any layer or update rule ask a device for a number? On a GPU the loop would wait for it, batch after batch.

Tensors on torch's "meta" device have no numbers: to ask for one is an error. Layers take the way that they take on a
GPU, for what looks at numbers first asks whether they lie on the processor.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netdef.graph import Options, load
from netdef.solver import rules
from netdef.solver.optimizer import CaffeOptimizer, Learnable
from netdef.targets.torch import build_module

GOLDEN = Path(__file__).parents[1] / "golden"
NETS = sorted(GOLDEN.glob("layers/*/net.prototxt"))
ASKS = {"Filter": "the size of its tops depends on values"}
RULES = (rules.Nesterov(0.9), rules.AdaGrad(1e-8), rules.RMSProp(0.9, 1e-8), rules.AdaDelta(0.9, 1e-8))
"""Those whose kernels torch has for meta tensors."""


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.parent.name)
def test_no_layer_asks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    graph = load(str(path), Options(phase="TRAIN"))
    if any(node.type in ASKS for node in graph.nodes):
        with pytest.raises(NotImplementedError, match="nonzero"):
            step(path)
        return
    step(path)


def step(path: Path) -> None:
    """Forward and back on the meta device."""
    graph = load(str(path), Options(phase="TRAIN"))
    with_loss = any(True for _ in graph.losses())
    module = build_module(graph, with_loss=with_loss, device="meta").to("meta")
    names = module.meta["inputs"]
    found = module(**{names[b.id]: torch.empty(b.shape.known_sizes(), device="meta") for b in graph.inputs})
    loss = found[1] if with_loss else sum(value.sum() for value in found.values())
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        loss.backward()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_no_rule_asks(rule: rules.Rule) -> None:
    weights = [torch.nn.Parameter(torch.empty(3, 4, device="meta")) for _ in range(2)]
    more = {"weight_decay": 0.1, "regularization": "L1", "clip": 1.0, "clip_value": 0.5, "iter_size": 2}
    optimizer = CaffeOptimizer([Learnable(weight) for weight in weights], rule, **more)
    for weight in weights:
        weight.grad = torch.empty_like(weight)
    optimizer.step()
