"""How well does a net do on its test data?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from netdef.solver.events import Output
from netdef.solver.running import RunningNet


@dataclass(frozen=True, slots=True)
class Score:
    """Means over the batches of a test: each output, and the weighted sum of the losses."""

    outputs: tuple[Output, ...]
    loss: float


class Interrupted(Exception):
    """A test was broken off."""


@torch.no_grad()
def evaluate(
    net: RunningNet,
    num_batches: int,
    *,
    each: Callable[[int, tuple[Output, ...]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Score:
    """Run `num_batches` batches through `net` and average each output, as Caffe's Solver::Test does.

    A mean of batch means: it counts every row alike only because all batches have the same size. `each` is told the
    outputs of each batch. Processes that run a net together take its batches in turns. The device is asked for numbers
    at the end alone, unless there is an `each`.

    Raises:
        Interrupted: `stop` said so before a batch; it is asked by all processes, equally often.
    """
    sums = {} if net.team.rank < num_batches else _zeros(net)
    total = torch.zeros((), dtype=torch.float64, device=net.style.device)
    for first in range(0, num_batches, net.team.world):
        if stop():
            raise Interrupted
        batch = first + net.team.rank
        if batch >= num_batches:
            break
        outputs, loss = net.forward()
        total += loss.double()
        for name, value in outputs.items():
            sums[name] = sums[name] + value.double() if name in sums else value.double()
        if each:
            each(batch, net.described([(name, value.cpu().numpy()) for name, value in outputs.items()]))
    count = max(num_batches, 1)
    means = [(name, (net.team.sum(value) / count).cpu().numpy()) for name, value in sums.items()]
    return Score(net.described(means), float(net.team.sum(total)) / count)


def _zeros(net: RunningNet) -> dict[str, Tensor]:
    """What a process adds that has no batch of a test."""
    device = net.style.device
    sizes = {blob.id: blob.shape.known_sizes() for blob in net.graph.outputs}
    return {name: torch.zeros(size, dtype=torch.float64, device=device) for name, size in sizes.items()}
