"""What does a run tell those who watch it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netdef.diagnostics import Diagnostic

if TYPE_CHECKING:  # `netdef check` reads solvers, and has no use for numpy
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Output:
    """One output blob of a net.

    Attributes:
        name: the blob.
        values: its numbers, of any shape; in a test their means over the batches.
        loss_weight: its part in the loss, 0 for none.
    """

    name: str
    values: NDArray[Any]
    loss_weight: float = 0.0

    @property
    def mean(self) -> float:
        """One number for it: the mean of its values."""
        return float(self.values.mean()) if self.values.size else float("nan")


@dataclass(frozen=True, slots=True)
class Displayed:
    """A `display` is due, before the iteration's update.

    Attributes:
        iteration: updates made so far.
        loss: mean of the last `average_loss` iterations.
        rate: the learning rate of the update to come; None after the last one.
        outputs: the training net's outputs of the last (micro-)batch; empty after the last update.
        images_per_s: since the last display; None where nothing was trained in between.
        time_s: seconds since the run began.
    """

    iteration: int
    loss: float
    rate: float | None
    outputs: tuple[Output, ...]
    images_per_s: float | None
    time_s: float


@dataclass(frozen=True, slots=True)
class Testing:
    """A test of net number `net` begins."""

    iteration: int
    net: int


@dataclass(frozen=True, slots=True)
class Tested:
    """A test has ended: means over its batches; `loss` with `test_compute_loss` alone."""

    iteration: int
    net: int
    outputs: tuple[Output, ...]
    loss: float | None
    time_s: float


@dataclass(frozen=True, slots=True)
class Snapshotted:
    """A whole snapshot is on the disk."""

    iteration: int
    weights: Path
    state: Path


@dataclass(frozen=True, slots=True)
class Warned:
    """Something went wrong that training goes on after."""

    iteration: int
    diagnostic: Diagnostic


@dataclass(frozen=True, slots=True)
class Best:
    """A watched output was better than ever in a test; the weights that were tested are kept."""

    iteration: int
    output: str
    value: float
    weights: Path


@dataclass(frozen=True, slots=True)
class StoodStill:
    """A watched output was not better than `best`, found at iteration `at`, for as many tests as patience lasts.

    `rate` is the lower rate from here on; None where the training ends.
    """

    iteration: int
    output: str
    best: float | None
    at: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class Debugged:
    """What `debug_info` tells of one iteration, line by line."""

    iteration: int
    lines: tuple[str, ...]


Event = Displayed | Testing | Tested | Snapshotted | Best | StoodStill | Debugged | Warned
Observer = Callable[[Event], None]


def numbered(outputs: tuple[Output, ...]) -> Iterator[tuple[int, str, float, float]]:
    """Every number of the outputs as Caffe lists them: index over all of them, blob, value, loss weight."""
    index = 0
    for output in outputs:
        for value in output.values.ravel():
            yield index, output.name, float(value), output.loss_weight
            index += 1
