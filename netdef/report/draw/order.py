"""In which order do the items of a level stand, so that few links cross? Barycentres, up and down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

Levels = list[list[str]]
Near = Mapping[str, list[str]]
_SWEEPS = 12


def order(levels: Levels, segments: Iterable[tuple[str, str]]) -> Levels:
    """The levels in the order with the fewest crossings that was met; `segments` join neighbouring levels."""
    above, below = _neighbours(levels, segments)
    best, fewest = levels, crossings(levels, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        levels = _sweep(levels, above) if sweep % 2 == 0 else _sweep(levels[::-1], below)[::-1]
        count = crossings(levels, below)
        if count < fewest:
            best, fewest = levels, count
    return best


def crossings(levels: Levels, below: Near) -> int:
    """How many pairs of segments cross."""
    return sum(_between(upper, lower, below) for upper, lower in pairwise(levels))


def _between(upper: list[str], lower: list[str], below: Near) -> int:
    place = {id: index for index, id in enumerate(lower)}
    ends = [place[b] for a in upper for b in sorted(below[a], key=place.__getitem__)]
    return sum(earlier > later for i, later in enumerate(ends) for earlier in ends[:i])


def _neighbours(levels: Levels, segments: Iterable[tuple[str, str]]) -> tuple[Near, Near]:
    ids = [id for level in levels for id in level]
    above: dict[str, list[str]] = {id: [] for id in ids}
    below: dict[str, list[str]] = {id: [] for id in ids}
    for a, b in segments:
        above[b].append(a)
        below[a].append(b)
    return above, below


def _sweep(levels: Levels, fixed: Near) -> Levels:
    """Each level sorted by the mean place of what it is joined to in the level before."""
    done = [levels[0]]
    for level in levels[1:]:
        place = {id: index for index, id in enumerate(done[-1])}
        done.append(_sorted(level, {id: [place[n] for n in fixed[id]] for id in level}))
    return done


def _sorted(level: list[str], near: Mapping[str, list[int]]) -> list[str]:
    """By barycentre; what is joined to nothing keeps its own place."""
    centre = {id: sum(near[id]) / len(near[id]) for id in level if near[id]}
    return sorted(level, key=lambda id: centre.get(id, float(level.index(id))))
