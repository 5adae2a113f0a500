"""Which learning rate suits a net? A range test: train a little while the rate rises, and see where the loss falls."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import inf, isfinite, log, sqrt
from statistics import fmean
from typing import Any

from netdef.diagnostics import RunError, error
from netdef.solver.config import SolverConfig
from netdef.solver.events import Displayed, Event
from netdef.solver.loop import Solver
from netdef.solver.policy import Policy
from netdef.solver.probing import probing

_WINDOW = 0.05
"""How far a loss is smoothed to each side, as a part of all iterations."""
_MEMORY = 0.9
"""What the running loss that watches for divergence keeps of the one before."""
_DIVERGED = 4.0
"""The test ends when the running loss has risen to so many times its least value, and above where it began."""
_SETTLED = 0.1
"""The first part of the range, where no suggestion is looked for."""

_FEWEST = 4
"""Iterations that a judgement needs."""

Tell = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True)
class Point:
    """One iteration: the rate it was made with, the loss before it, and the mean loss of those around it."""

    rate: float
    loss: float
    smoothed: float


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What a range test found.

    Attributes:
        points: one for each iteration.
        steepest: the rate at which the smoothed loss falls fastest per factor of the rate.
        lowest: the rate at which it is least.
        diverged: whether the loss ran away before the end of the range.
    """

    points: tuple[Point, ...]
    steepest: float
    lowest: float
    diverged: bool

    @property
    def suggestion(self) -> float:
        """The smaller of the steepest place and a tenth of the lowest one: fast, with room below divergence."""
        return min(self.steepest, self.lowest / 10)

    def as_json(self) -> dict[str, Any]:
        """The test as plain data."""
        return {**asdict(self), "suggestion": self.suggestion}


def range_test(
    config: SolverConfig,
    *,
    low: float,
    high: float,
    iterations: int,
    weights: Sequence[str | os.PathLike[str]] | None = None,
    strict: bool = False,
    device: int | str | None = None,
    tell: Tell = lambda iteration, rate, loss: None,
) -> RangeTest:
    """Train `iterations` iterations at rates from `low` to `high`, each by the same factor above the one before.

    The net begins as a run would, from its fillers or `weights`; nothing is written, so that what is on the disk stays
    as it is. The test ends early where the loss runs away. Source: Smith 2017, Cyclical Learning Rates, section 3.3.
    With `strict` net and weights must have the same layers.

    Raises:
        NetdefError: with every error in the solver and its nets.
        RunError: ND0832, the loss ran away at once, or never fell.
    """
    watch = _Watch(tell)
    probing = _probing(config, low, high, iterations)
    with Solver(probing, weights=weights, strict=strict, device=device, observers=[watch]) as solver:
        watch.solver = solver
        try:
            solver.step(iterations)
        except RunError as end:
            if end.diagnostics[0].code != "ND0801":
                raise
            watch.diverged = True
    return _judge(watch, iterations)


def _probing(config: SolverConfig, low: float, high: float, iterations: int) -> SolverConfig:
    """The solver with a rising rate, each loss told, no tests and nothing written."""
    factor = (high / low) ** (1 / max(iterations - 1, 1))
    policy = Policy("exp", low, gamma=factor, max_iter=iterations)
    return replace(probing(config, policy), display=1)


class _Watch:
    """Notes each iteration's rate and loss, and asks for a stop when the loss has run away."""

    def __init__(self, tell: Tell) -> None:
        self.seen: list[tuple[float, float]] = []
        self.diverged = False
        self.solver: Solver | None = None
        self._tell, self._running, self._least = tell, 0.0, inf

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Displayed) or event.rate is None or not isfinite(event.loss):
            return
        self.seen.append((event.rate, event.loss))
        self._tell(event.iteration, event.rate, event.loss)
        first = self.seen[0][1]
        self._running = event.loss if len(self.seen) == 1 else _MEMORY * self._running + (1 - _MEMORY) * event.loss
        self._least = min(self._least, self._running)
        if self._running > max(_DIVERGED * self._least, first):
            self.diverged = True
            assert self.solver is not None
            self.solver.request("stop")


def _judge(watch: _Watch, iterations: int) -> RangeTest:
    """The places that stand out on the curve.

    Raises:
        RunError: ND0832, there are none.
    """
    points = _smooth(watch.seen, max(int(_WINDOW * iterations), 1))
    usable = points[int(len(points) * _SETTLED) :]
    if len(usable) < _FEWEST:
        help = "begin lower (--from), or look at the data and the fillers"
        raise RunError([error("ND0832", f"the loss ran away after {len(points)} iterations", help=help)])
    lowest = min(usable, key=lambda point: point.smoothed)
    slopes = [(_slope(a, b), sqrt(a.rate * b.rate)) for a, b in pairwise(usable) if b.rate <= lowest.rate]
    slope, steepest = min(slopes, default=(0.0, 0.0))
    if slope >= 0:
        help = "end higher (--to), or take more iterations; is every `lr_mult` 0, or are the labels noise?"
        raise RunError([error("ND0832", "the loss does not fall at any rate of the range", help=help)])
    return RangeTest(points, steepest, lowest.rate, watch.diverged)


def _smooth(seen: Sequence[tuple[float, float]], reach: int) -> tuple[Point, ...]:
    """Each loss with the mean of those up to `reach` before and behind it: unlike a running mean it does not lag."""
    losses = [loss for _, loss in seen]
    around = (losses[max(i - reach, 0) : i + reach + 1] for i in range(len(losses)))
    return tuple(Point(rate, loss, fmean(near)) for (rate, loss), near in zip(seen, around, strict=True))


def _slope(a: Point, b: Point) -> float:
    """How fast the smoothed loss rises per factor e of the rate."""
    return (b.smoothed - a.smoothed) / log(b.rate / a.rate)
