"""What does a range test look like?"""

from __future__ import annotations

import os

from netdef.report.canvas import COLORS, drawing
from netdef.solver.range_test import RangeTest

_ROOM = 1.6
"""The picture ends at so many times the first loss: a loss that ran away would flatten all below it."""


def draw_range_test(test: RangeTest, path: str | os.PathLike[str], title: str) -> None:
    """Draw loss over learning rate, with the steepest place, the lowest one and the suggestion.

    Raises:
        NetdefError: ND0031, there is no matplotlib; ND0034, `path` is no picture's name.
    """
    rates = [point.rate for point in test.points]
    smoothed = [point.smoothed for point in test.points]
    with drawing(path, [3.6]) as (_, (panel,)):
        panel.plot(rates, [point.loss for point in test.points], color=COLORS[0], alpha=0.3, lw=1, label="loss")
        panel.plot(rates, smoothed, color=COLORS[0], lw=2, label="smoothed")
        for name, rate, color in (
            ("steepest", test.steepest, COLORS[2]),
            ("lowest", test.lowest, COLORS[1]),
            ("suggestion", test.suggestion, "black"),
        ):
            style = "-" if name == "suggestion" else "--"
            panel.axvline(rate, color=color, ls=style, lw=1.2, label=f"{name} {rate:.2g}", zorder=1)
        low, high = min(p.loss for p in test.points), max(smoothed[0] * _ROOM, min(smoothed) + 0.1)
        panel.set_ylim(low - 0.05 * (high - low), high)
        panel.set_xscale("log")
        panel.set_xlabel("learning rate")
        panel.set_ylabel("loss")
        panel.set_title(title)
        panel.legend(loc="best")
