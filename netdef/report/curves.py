"""What do one or several runs look like: loss, accuracy and learning rate over the iterations?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import cycle
from statistics import fmean
from typing import TYPE_CHECKING

from netdef.report.canvas import COLORS, drawing
from netdef.report.history import Curve, History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE_RANGE = 50.0
_WIDE_RATES = 5.0
"""An axis becomes logarithmic where its largest value is so many times its smallest (losses; learning rates)."""
_MANY = 5
"""Lines from which on the legend stands beside the panel, not in it."""
_MARKERS = "osD^v"
_DASHES = ("--", ":", "-.")

Panel = Callable[["Axes", Sequence[History], int | None], None]


def draw_curves(
    runs: Sequence[History], path: str | os.PathLike[str], *, smooth: int | None = None, title: str = ""
) -> None:
    """Draw the runs into one picture, a colour each, with a panel for each kind of curve that there is.

    The training loss stands there raw and pale, and smoothed over `smooth` displays to each side (a twenty-fifth of
    all by default, 0 for none); what tests gave has marks.

    Raises:
        NetdefError: ND0031, there is no matplotlib; ND0034, `path` is no picture's name.
    """
    panels = [(panel, height) for panel, there, height in _PANELS if any(map(there, runs))]
    with drawing(path, [height for _, height in panels]) as (figure, axes):
        for (panel, _), axis in zip(panels, axes, strict=True):
            panel(axis, runs, smooth)
            _finish(axis)
        axes[-1].set_xlabel("iteration")
        figure.align_ylabels(axes)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12)


def smoothed(values: Sequence[float], reach: int) -> list[float]:
    """Each value's mean with those up to `reach` before and behind it.

    Near the beginning, where a loss falls steeply, fewer, alike on both sides; near the end fewer behind alone, or the
    curve would end in its last value, whose noise then looks like a turn of the run.
    """
    reaches = (min(reach, i) for i in range(len(values)))
    return [fmean(values[i - r : i + r + 1]) for i, r in enumerate(reaches)]


def _loss(axis: Axes, runs: Sequence[History], smooth: int | None) -> None:
    for run, color in zip(runs, cycle(COLORS), strict=False):
        its, values = _points(run.loss)
        reach = len(its) // 25 if smooth is None else smooth
        axis.plot(
            its,
            values,
            color=color,
            lw=1,
            alpha=0.3 if reach else 0.9,
            label=None if reach or not its else _label(runs, run, "train"),
        )
        if reach:
            axis.plot(its, smoothed(values, reach), color=color, lw=1.8, label=_label(runs, run, "train"))
        _tested(axis, runs, run, run.test_losses, color, "test")
    axis.set_ylabel("loss")
    _logarithmic(
        axis,
        [v for run in runs for curve in (run.loss, *run.test_losses.values()) for v in curve.values()],
        _WIDE_RANGE,
    )


def _scores(axis: Axes, runs: Sequence[History], smooth: int | None) -> None:
    names = {name for run in runs for name in run.scores}
    for run, color in zip(runs, cycle(COLORS), strict=False):
        _tested(axis, runs, run, run.scores, color, alone=len(names) == 1)
    values = [value for run in runs for curve in run.scores.values() for value in curve.values()]
    axis.set_ylabel(f"test {names.pop()}" if len(names) == 1 else "test scores")
    if min(values) >= 0 and max(values) <= 1:
        axis.set_ylim(top=min(1.02, max(values) + 0.1))


def _rate(axis: Axes, runs: Sequence[History], smooth: int | None) -> None:
    for run, color in zip(runs, cycle(COLORS), strict=False):
        axis.plot(*_points(run.rate), color=color, lw=1.5, label=_label(runs, run) if run.rate else None)
    axis.set_ylabel("learning rate")
    _logarithmic(axis, [value for run in runs for value in run.rate.values()], _WIDE_RATES)


_PANELS: tuple[tuple[Panel, Callable[[History], bool], float], ...] = (
    (_loss, lambda run: bool(run.loss or run.test_losses), 3.4),
    (_scores, lambda run: bool(run.scores), 2.6),
    (_rate, lambda run: bool(run.rate), 1.7),
)
"""Each panel, whether a run has anything for it, and how high it is in inches."""


def _tested(
    axis: Axes,
    runs: Sequence[History],
    run: History,
    curves: dict[str, Curve],
    color: str,
    word: str = "",
    alone: bool = False,
) -> None:
    """Marked lines, one for each output, several of one run with other dashes and marks; `alone` hides its name."""
    for (name, curve), dashes, marker in zip(curves.items(), cycle(_DASHES), cycle(_MARKERS), strict=False):
        what = word if alone or (word and len(curves) == 1) else f"{word} {name}".strip()
        its, values = _points(curve)
        axis.plot(
            its,
            values,
            dashes,
            color=color,
            marker=marker,
            ms=4 if len(its) < 60 else 0,
            lw=1.3,
            label=_label(runs, run, what),
        )


def _label(runs: Sequence[History], run: History, what: str = "") -> str:
    return ", ".join(part for part in ((run.name if len(runs) > 1 or not what else ""), what) if part)


def _points(curve: Curve) -> tuple[list[int], list[float]]:
    its = sorted(curve)
    return its, [curve[iteration] for iteration in its]


def _logarithmic(axis: Axes, values: Sequence[float], range_: float) -> None:
    if values and min(values) > 0 and max(values) > range_ * min(values):
        axis.set_yscale("log")


def _finish(axis: Axes) -> None:
    axis.margins(x=0.01)
    count = len(axis.get_legend_handles_labels()[0])
    if count > _MANY:
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    elif count > 1:
        axis.legend(loc="best")
