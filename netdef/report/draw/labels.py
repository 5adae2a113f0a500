"""Which sizes stand beside the edges, and on which side of them?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from netdef.ir import Blob
from netdef.report.draw.boxes import Box, sizes
from netdef.report.draw.cards import IN, OUT
from netdef.report.draw.rank import Link
from netdef.report.draw.scene import SMALL_SIZE, Label, Point, Rect, text_width

_STEPS = 16
"""Points looked at on each bend of an edge."""

_OVER_A_LABEL, _OUTSIDE = 100, 50
"""How bad these are, beside one edge that runs through the words."""

Ways = Mapping[Link, tuple[Point, ...]]


def labels(
    links: Iterable[Link], ways: Ways, blobs: Mapping[str, Blob], boxes: Mapping[str, Box], room: tuple[float, float]
) -> Iterator[Label]:
    """The sizes of each blob, once, where it leaves a group, or a box that changes them; x may lie in `room`."""
    placed: list[Rect] = []
    points = [[*_through(way)] for way in ways.values()]
    for link in _telling(links, blobs, boxes):
        text = sizes(blobs[link.blob])
        best = min(_places(ways[link], text), key=lambda place: _fault(place, placed, points, room))
        placed.append(best)
        yield Label(best.x, best.y + best.height - 2, text)


def _telling(links: Iterable[Link], blobs: Mapping[str, Blob], boxes: Mapping[str, Box]) -> Iterator[Link]:
    told = set()
    for link in links:
        if link.source.startswith(IN) or link.target.startswith(OUT) or (link.source, link.blob) in told:
            continue
        told.add((link.source, link.blob))
        box = boxes.get(link.source)
        before = {blob.shape for blob in box.bottoms} if box else set()
        if blobs[link.blob].shape not in before:
            yield link


def _places(way: tuple[Point, ...], text: str) -> tuple[Rect, Rect]:
    """Right of where the edge begins, and left; where the edge turns right, left comes first."""
    x, y = way[0]
    width = text_width(text, SMALL_SIZE) * 0.92
    right, left = (Rect(at, y + 4, width, 10) for at in (x + 5, x - 5 - width))
    turn = next((at for at, _ in way if abs(at - x) > 1), x)
    return (left, right) if turn > x else (right, left)


def _fault(place: Rect, placed: Sequence[Rect], edges: Sequence[Sequence[Point]], room: tuple[float, float]) -> int:
    """What speaks against a place."""
    over = sum(_meet(place, other) for other in placed)
    crossed = sum(any(_holds(place, point) for point in points) for points in edges)
    outside = place.x < room[0] or place.x + place.width > room[1]
    return _OVER_A_LABEL * over + _OUTSIDE * outside + crossed


def _meet(a: Rect, b: Rect) -> bool:
    return abs(2 * (a.x - b.x) + a.width - b.width) < a.width + b.width and abs(a.y - b.y) < max(a.height, b.height)


def _holds(place: Rect, point: Point) -> bool:
    return place.x < point[0] < place.x + place.width and place.y < point[1] < place.y + place.height


def _through(way: tuple[Point, ...]) -> Iterator[Point]:
    """Points on an edge, whose bends begin and end upright."""
    for (ax, ay), (bx, by) in pairwise(way):
        for step in range(_STEPS):
            t = step / _STEPS
            yield ax + (bx - ax) * t * t * (3 - 2 * t), ay + (by - ay) * (1.5 * t * (1 - t) + t**3)
