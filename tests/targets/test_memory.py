"""The memory that `summary` predicts for the way back, against what torch's autograd really keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from netdef.graph import Options, load
from netdef.ir import Shape
from netdef.ir.memory import kept_bytes
from netdef.targets.torch import build_module

EXAMPLES = Path(__file__).parents[2] / "examples"
NETS = {"lenet": (64, 1, 28, 28), "cifar10_quick": (100, 3, 32, 32), "resnet18": (64, 3, 224, 224)}


@pytest.mark.parametrize("name", NETS)
def test_prediction(name: str) -> None:
    shape = NETS[name]
    options = Options(phase="TRAIN", shapes={"data": Shape(shape)})
    graph = load(EXAMPLES / name / "train_val.prototxt", options)
    predicted = kept_bytes(graph)
    assert predicted is not None

    rows = 2 if shape[2] > 32 else shape[0]  # a large net runs on two images; what it keeps grows with their number
    measured = saved_bytes(build_module(graph, with_loss=True), torch.randn(rows, *shape[1:]), torch.zeros(rows))
    assert predicted * rows / shape[0] == pytest.approx(measured, rel=0.01)


def saved_bytes(module: torch.fx.GraphModule, data: Tensor, label: Tensor) -> int:
    """Bytes of the storages that the forward pass saves, parameters and statistics left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held = module(data=data, label=label)
    assert held
    return sum(saved.values())
