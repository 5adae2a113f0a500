"""How does a tall picture become one that a screen shows? In columns, like a newspaper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log

from netdef.report.draw.layout import Layout
from netdef.report.draw.rank import Link
from netdef.report.draw.scene import Point, Rect

_RATIO = 1.5
"""Width to height that is aimed at."""
_GUTTER, _LEAD = 52.0, 30.0
_MAX_COLUMNS = 12
_WORTH = 0.75
"""How much of the height columns may leave; a net that can be cut near its ends alone stays whole."""
_TALL = 900.0
"""A picture of up to so many pixels stays one column."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A layout in columns.

    Attributes:
        ways: the links as in the layout; of one that begins at the end of a column what follows in the next, if any.
        elbows: the way of such links from column to column.
    """

    width: float
    height: float
    rects: Mapping[str, Rect]
    ways: Mapping[Link, tuple[Point, ...]]
    elbows: Mapping[Link, tuple[Point, ...]]


@dataclass(frozen=True, slots=True)
class _Column:
    """The levels `first` to `last` and the rectangle that they fill."""

    first: int
    last: int
    rect: Rect


def fold(plan: Layout) -> Folded:
    """The layout in as many columns as bring it nearest to a screen's shape; cut only where one blob passes."""
    if plan.height <= _TALL:
        return Folded(plan.width, plan.height, plan.rects, plan.ways, {})
    spans = _spans(plan)
    cuts = _cuts(plan)
    options = [_columns(plan, spans, cuts, count) for count in range(1, _MAX_COLUMNS + 1)]
    worth = [columns for columns in options if _height(columns) <= _WORTH * plan.height]
    return _arrange(plan, min([options[0], *worth], key=_misshape))


def _misshape(columns: Sequence[_Column]) -> float:
    width = sum(column.rect.width + _GUTTER for column in columns)
    return abs(log(width / _height(columns) / _RATIO))


def _height(columns: Sequence[_Column]) -> float:
    return max(column.rect.height for column in columns)


def _spans(plan: Layout) -> list[tuple[float, float]]:
    """Top and bottom of every level."""
    rows: dict[int, list[Rect]] = {}
    for id, level in plan.levels.items():
        rows.setdefault(level, []).append(plan.rects[id])
    return [(min(r.y for r in rows[i]), max(r.y + r.height for r in rows[i])) for i in sorted(rows)]


def _cuts(plan: Layout) -> list[int]:
    """The levels after which a column may end: one blob goes on, and comes from this level."""
    crossing: dict[int, list[Link]] = {}
    for link in plan.ways:
        for level in range(plan.levels[link.source], plan.levels[link.target]):
            crossing.setdefault(level, []).append(link)
    return [
        level
        for level, links in sorted(crossing.items())
        if len({(link.source, link.blob) for link in links}) == 1 and plan.levels[links[0].source] == level
    ]


def _columns(plan: Layout, spans: list[tuple[float, float]], cuts: list[int], count: int) -> list[_Column]:
    """Cut into `count` columns at most, the tallest of them as short as can be."""
    low, high = 0.0, spans[-1][1]
    while high - low > 1:
        limit = (low + high) / 2
        if _tallest(spans, ends := _greedy(spans, cuts, limit)) <= limit and len(ends) <= count:
            high = limit
        else:
            low = limit
    ends = _greedy(spans, cuts, high)
    firsts = [0, *(end + 1 for end in ends[:-1])]
    return [_column(plan, spans, first, last) for first, last in zip(firsts, ends, strict=True)]


def _greedy(spans: list[tuple[float, float]], cuts: list[int], limit: float) -> list[int]:
    """The last level of each column when none is higher than `limit`, where the cuts allow it."""
    ends: list[int] = []
    first, best = 0, None
    for cut in [*cuts, len(spans) - 1]:
        if spans[cut][1] - spans[first][0] > limit and best is not None:
            ends.append(best)
            first = best + 1
        best = cut
    return [*ends, len(spans) - 1]


def _tallest(spans: list[tuple[float, float]], ends: list[int]) -> float:
    firsts = [0, *(end + 1 for end in ends[:-1])]
    return max(spans[last][1] - spans[first][0] for first, last in zip(firsts, ends, strict=True))


def _column(plan: Layout, spans: list[tuple[float, float]], first: int, last: int) -> _Column:
    rects = [plan.rects[id] for id, level in plan.levels.items() if first <= level <= last]
    inside = (
        way for link, way in plan.ways.items() if first <= plan.levels[link.source] <= plan.levels[link.target] <= last
    )
    xs = [x for way in inside for x, _ in way] + [r.x for r in rects] + [r.x + r.width for r in rects]
    top, bottom = spans[first][0], spans[last][1]
    return _Column(first, last, Rect(min(xs), top, max(xs) - min(xs), bottom - top))


def _arrange(plan: Layout, columns: Sequence[_Column]) -> Folded:
    lead = _LEAD if len(columns) > 1 else 0.0
    shifts: dict[int, Point] = {}
    gutters: dict[int, float] = {}
    x = 0.0
    for column in columns:
        for level in range(column.first, column.last + 1):
            shifts[level] = x - column.rect.x, lead - column.rect.y
            gutters[level] = x + column.rect.width + _GUTTER / 2
        x += column.rect.width + _GUTTER
    rects = {id: rect.moved(*shifts[plan.levels[id]]) for id, rect in plan.rects.items()}
    ways: dict[Link, tuple[Point, ...]] = {}
    elbows: dict[Link, tuple[Point, ...]] = {}
    for link, way in plan.ways.items():
        level = plan.levels[link.source]
        start, rest = _moved(way, shifts[level]), _moved(way, shifts[plan.levels[link.target]])
        if shifts[level] == shifts[plan.levels[link.target]]:
            ways[link] = start
            continue
        direct = plan.levels[link.target] == level + 1
        elbows[link] = tuple(_elbow(start[0], rest[-1] if direct else rest[2], gutters[level]))
        if not direct:
            ways[link] = rest[2:]
    height = lead + _height(columns) + lead
    return Folded(x - _GUTTER, height, rects, ways, elbows)


def _moved(way: tuple[Point, ...], shift: Point) -> tuple[Point, ...]:
    return tuple((x + shift[0], y + shift[1]) for x, y in way)


def _elbow(start: Point, end: Point, gutter: float) -> Iterator[Point]:
    """Down, to the gutter, up, over to the next column, down."""
    yield start
    yield start[0], start[1] + _LEAD * 0.7
    yield gutter, start[1] + _LEAD * 0.7
    yield gutter, end[1] - _LEAD * 0.7
    yield end[0], end[1] - _LEAD * 0.7
    yield end
