"""Every golden net forward and back on a made-up GPU beside the processor, and the loop: prints who mixes the two.

torch lets a backend be written in Python. With its fake tensors, which have a device, a size and no numbers, that is a
GPU that knows where each tensor lies and nothing else: operations with tensors of two devices are refused, and so is
asking for a number. It changes torch: it is to be run in a process of its own.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from netdef.graph import Options, load
from netdef.ir import Graph
from netdef.solver.loop import Solver
from netdef.solver.run import attach, make_optimizer
from netdef.targets.torch import build_module
from netdef.targets.torch.layout import channels_last, to_channels_last
from tests.solver import small_run

GOLDEN = Path(__file__).parents[1] / "golden"
KIND = "made_up_gpu"
LOOPS = ("", "clip_gradients: 1 ema_decay: 0.9", "clip_value: 0.1 snapshot_diff: true", 'regularization_type: "L1"')
ASKS = {"Filter"}
"""Layers the size of whose tops depends on values."""


def main() -> None:
    _setup_privateuseone_for_python_backend(KIND)
    logging.getLogger("torch._subclasses.fake_tensor").disabled = True  # what is refused is printed below
    count = 0
    for path in sorted(GOLDEN.glob("layers/*/net.prototxt")) + sorted(GOLDEN.glob("nets/*/*.prototxt")):
        os.chdir(path.parent)
        for phase in ("TRAIN", "TEST"):
            graph = load(str(path), Options(phase=phase))
            if ASKS.isdisjoint(node.type for node in graph.nodes):
                report(path, graph)
                count += 1
    for options in LOOPS:
        loop(options)
    sys.stdout.write(f"{count} nets; refused: {', '.join(refused())}\n")


def loop(options: str) -> None:
    """Some iterations of a solver, whose weights and batches are brought to the GPU before the first."""
    text = small_run.SOLVER.replace('type: "Adam"', 'type: "Nesterov"').replace("test_iter: 2 test_interval: 6", "")
    with tempfile.TemporaryDirectory() as folder:
        path = small_run.make(Path(folder), f" {options}", solver=text)
        with Solver(path) as solver, FakeTensorMode(), solver.run.random.active():
            bring(solver)
            try:
                for _ in range(3):
                    solver._iterate()
                    solver.team.any(False)
            except Exception as fault:
                tell(f"the loop with {options}", fault)


def bring(solver: Solver) -> None:
    run = solver.run
    move(run.train.module)
    run.optimizer = make_optimizer(run.config, run.train)
    run.train.feed.next = lambda: dict(batch(run.train.graph, run.train.module))  # type: ignore[method-assign]
    solver._gradients = None
    attach(run)


def report(path: Path, graph: Graph) -> None:
    try:
        step(graph)
    except Exception as fault:
        tell(f"{path.parent.name}, {graph.phase}", fault)


def tell(where: str, fault: Exception) -> None:
    first = str(fault).partition("\n")[0]
    sys.stdout.write(f"{where}: {type(fault).__name__}: {first}\n")


def refused() -> Iterator[str]:
    """What the made-up GPU does not do, so that silence above means something."""
    with FakeTensorMode():
        here, there = torch.ones(2), torch.ones(2, device=KIND)
        for what, work in (("mixing", lambda: here + there), ("a number", there.sum().item), ("a size", there.nonzero)):
            try:
                work()
            except RuntimeError:  # what FakeTensorMode raises is one
                yield what


def step(graph: Graph) -> None:
    module = build_module(graph, with_loss=True, device="meta")
    to_channels_last(module)
    with FakeTensorMode():
        move(module)
        outputs, loss = module(**dict(batch(graph, module)))
        ends = [end for end in ([*outputs.values()] if loss is None else [loss]) if end.requires_grad]
        if ends:
            torch.autograd.backward(ends, [torch.ones_like(end) for end in ends])
        for tensor in (*outputs.values(), *(p.grad for p in module.parameters() if p.grad is not None)):
            assert tensor.device.type == KIND, f"{tuple(tensor.shape)} lies on {tensor.device}"


def move(module: nn.Module) -> None:
    """Parameters and buffers to the GPU; one that several layers share stays one."""
    moved: dict[Tensor, Tensor] = {}
    for held in (child_held for child in module.modules() for child_held in (child._parameters, child._buffers)):
        for name, tensor in held.items():
            if tensor is not None:
                held[name] = moved.setdefault(tensor, there(tensor))


def there(tensor: Tensor) -> Tensor:
    found = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=KIND)
    return nn.Parameter(found, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else found


def batch(graph: Graph, module: fx.GraphModule) -> Iterator[tuple[str, Tensor]]:
    wanted = {
        blob.id for node in graph.nodes for blob, flows in zip(node.bottoms, node.propagate, strict=True) if flows
    }
    for blob in graph.inputs:
        values = channels_last(torch.empty(blob.shape.known_sizes(), device=KIND))
        yield module.meta["inputs"][blob.id], values.requires_grad_(blob.id in wanted)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the threads that went back on the GPU do not end by themselves
