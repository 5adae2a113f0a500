"""Where do items stand and links run? Levels, order, places (Sugiyama, Tagawa and Toda 1981)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from netdef.report.draw.order import order
from netdef.report.draw.place import Pull, place
from netdef.report.draw.rank import Item, Link, rank
from netdef.report.draw.scene import Point, Rect

_THREAD = 6.0
"""Width that a link takes on the levels that it passes."""
_STRAIGHT, _DIRECT, _BEND = 8.0, 6.0, 0.5
"""How much a link insists on being upright: where it passes levels, from item to item, and where it may bend."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Rectangles of the items, the way of every link, and the level of each item; x from 0, y from 0."""

    width: float
    height: float
    rects: Mapping[str, Rect]
    ways: Mapping[Link, tuple[Point, ...]]
    levels: Mapping[str, int]


def layout(items: Sequence[Item], links: Sequence[Link], *, gap: float) -> Layout:
    """Place items so that links run down, `gap` pixels from level to level."""
    levels = rank(items, links)
    threads = _threads(links, levels)
    rows = _rows(items, levels, threads)
    segments = sorted({pair for chain in threads.values() for pair in pairwise(chain)})
    rows = order(rows, segments)
    widths = {id: _THREAD for row in rows for id in row} | {item.id: item.width for item in items}
    x = place(rows, widths, [*_pulls(links, threads)])
    spread = _spread(links, threads, x, items)
    return _finish(items, rows, x, widths, spread, threads, levels, gap)


def _threads(links: Sequence[Link], levels: Mapping[str, int]) -> dict[Link, list[str]]:
    """Each link as a chain of ids, one a level; links of one blob share what they pass."""
    return {
        link: [
            link.source,
            *(
                f"\0{link.source}\0{link.blob}\0{level}"
                for level in range(levels[link.source] + 1, levels[link.target])
            ),
            link.target,
        ]
        for link in links
    }


def _rows(items: Sequence[Item], levels: Mapping[str, int], threads: Mapping[Link, list[str]]) -> list[list[str]]:
    """The ids of each level; what passes a level stands behind its items at first."""
    rows: list[dict[str, None]] = [{} for _ in range(max(levels.values(), default=0) + 1)]
    for item in items:
        rows[levels[item.id]][item.id] = None
    for link, chain in threads.items():
        for level, id in enumerate(chain[1:-1], levels[link.source] + 1):
            rows[level][id] = None
    return [list(row) for row in rows]


def _pulls(links: Sequence[Link], threads: Mapping[Link, list[str]]) -> Iterator[Pull]:
    seen = set()
    into = Counter(link.target for link in links)
    for link in links:
        chain = threads[link]
        for upper, lower in pairwise(chain):
            if (upper, lower, link.blob) in seen and "\0" in lower:
                continue
            seen.add((upper, lower, link.blob))
            leaves = link.leaves if upper == link.source else 0.0
            enters = link.enters if lower == link.target else 0.0
            yield Pull(upper, lower, leaves, enters, _weight(link, upper, lower, into[link.target]))


def _weight(link: Link, upper: str, lower: str, joined: int) -> float:
    """Where two ways meet, the direct one stays straight; where more do, the place is in their middle."""
    if joined > 2 and lower == link.target:
        return 1.0
    if upper == link.source and lower == link.target:
        return _DIRECT
    return _BEND if upper == link.source or lower == link.target else _STRAIGHT


def _spread(
    links: Sequence[Link], threads: Mapping[Link, list[str]], x: Mapping[str, float], items: Sequence[Item]
) -> dict[Link, float]:
    """Where links enter an item that several lead to: side by side in the order of where they come from."""
    widths = {item.id: item.width for item in items}
    into: dict[str, list[Link]] = {}
    for link in links:
        into.setdefault(link.target, []).append(link)
    places = {link: link.enters for link in links}
    for target, group in into.items():
        if len(group) > 1 and not any(link.enters for link in group):
            came = {link: x[threads[link][-2]] + (link.leaves if len(threads[link]) == 2 else 0.0) for link in group}
            ordered = sorted(group, key=came.__getitem__)
            wishes = [came[link] - x[target] for link in ordered]
            places.update(zip(ordered, _apart(wishes, 0.36 * widths[target]), strict=True))
    return places


def _apart(wishes: list[float], limit: float) -> list[float]:
    """Places from `-limit` to `limit` near ascending wishes, some distance from each other."""
    step = min(14.0, 2 * limit / (len(wishes) - 1))
    found: list[float] = []
    for index, wish in enumerate(wishes):
        low = found[-1] + step if found else -limit
        high = limit - step * (len(wishes) - 1 - index)
        found.append(min(max(wish, low), high))
    return found


def _finish(
    items: Sequence[Item],
    rows: list[list[str]],
    x: Mapping[str, float],
    widths: Mapping[str, float],
    enters: Mapping[Link, float],
    threads: Mapping[Link, list[str]],
    levels: Mapping[str, int],
    gap: float,
) -> Layout:
    """Heights of the levels, and all coordinates from 0."""
    left = min((x[id] - widths[id] / 2 for id in x), default=0.0)
    right = max((x[id] + widths[id] / 2 for id in x), default=0.0)
    sizes = {item.id: item for item in items}
    bands: list[tuple[float, float]] = []
    y = 0.0
    for row in rows:
        height = max((sizes[id].height for id in row if id in sizes), default=0.0)
        bands.append((y, y + height))
        y += height + gap
    rects = {}
    for item in items:
        top, bottom = bands[levels[item.id]]
        middle = (top + bottom - item.height) / 2
        rects[item.id] = Rect(x[item.id] - left - item.width / 2, middle, item.width, item.height)
    moved = {id: at - left for id, at in x.items()}
    ways = {link: tuple(_way(link, chain, moved, rects, bands, levels, enters)) for link, chain in threads.items()}
    return Layout(right - left, max(y - gap, 0.0), rects, ways, levels)


def _way(
    link: Link,
    chain: list[str],
    x: Mapping[str, float],
    rects: Mapping[str, Rect],
    bands: Sequence[tuple[float, float]],
    levels: Mapping[str, int],
    enters: Mapping[Link, float],
) -> Iterator[Point]:
    """Upright beside the items of a level, in a curve between two levels."""
    start, end = rects[link.source], rects[link.target]
    level = levels[link.source]
    at = x[link.source] + link.leaves
    yield at, start.y + start.height
    yield at, bands[level][1]
    for id in chain[1:-1]:
        level += 1
        yield x[id], bands[level][0]
        yield x[id], bands[level][1]
    at = x[link.target] + enters[link]
    yield at, bands[level + 1][0]
    yield at, end.y
