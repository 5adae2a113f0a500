"""Where on its level does each item stand, so that links are straight? Least squares, level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 120
_GAP = 16.0


@dataclass(frozen=True, slots=True)
class Pull:
    """A segment between neighbouring levels: it is upright where ``x[upper] + leaves == x[lower] + enters``."""

    upper: str
    lower: str
    leaves: float
    enters: float
    weight: float


def place(levels: Sequence[Sequence[str]], widths: Mapping[str, float], pulls: Sequence[Pull]) -> dict[str, float]:
    """The middle of each item (pixels); items of a level keep their order and a gap."""
    x = {id: at for level in levels for id, at in zip(level, _pack(level, widths), strict=True)}
    above: dict[str, list[tuple[str, float, float]]] = {id: [] for id in x}
    below: dict[str, list[tuple[str, float, float]]] = {id: [] for id in x}
    for pull in pulls:
        above[pull.lower].append((pull.upper, pull.leaves - pull.enters, pull.weight))
        below[pull.upper].append((pull.lower, pull.enters - pull.leaves, pull.weight))
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = {id: above[id] + below[id] for id in x} if sweep >= _SWEEPS // 2 else above if down else below
        for level in levels if down else levels[::-1]:
            _settle(level, widths, near, x)
    return x


def _pack(level: Sequence[str], widths: Mapping[str, float]) -> list[float]:
    """Side by side around 0."""
    total = sum(widths[id] + _GAP for id in level)
    places, left = [], -total / 2
    for id in level:
        places.append(left + (widths[id] + _GAP) / 2)
        left += widths[id] + _GAP
    return places


def _settle(
    level: Sequence[str],
    widths: Mapping[str, float],
    near: Mapping[str, list[tuple[str, float, float]]],
    x: dict[str, float],
) -> None:
    """Move the items of a level as close to where their links want them as order and gaps allow.

    With the gaps subtracted this is isotonic regression, solved by pooling adjacent violators (Barlow et al. 1972).
    """
    offset, blocks, offsets = 0.0, list[list[float]](), []
    for index, id in enumerate(level):
        if index:
            offset += (widths[level[index - 1]] + widths[id]) / 2 + _GAP
        offsets.append(offset)
        weight = sum(w for _, _, w in near[id]) or 0.01
        wish = sum((x[other] + shift) * w for other, shift, w in near[id]) / weight if near[id] else x[id]
        blocks.append([wish - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            value, more, count = blocks.pop()
            mean, mass, number = blocks[-1]
            blocks[-1] = [(mean * mass + value * more) / (mass + more), mass + more, number + count]
    settled = [value for value, _, count in blocks for _ in range(int(count))]
    x.update((id, value + shift) for id, value, shift in zip(level, settled, offsets, strict=True))
