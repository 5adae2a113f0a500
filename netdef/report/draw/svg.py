"""A scene as SVG text."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import pairwise

from netdef.report.draw.kinds import Kind
from netdef.report.draw.scene import (
    HEAD_SIZE,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    Card,
    Edge,
    Frame,
    Label,
    Point,
    Rect,
    Scene,
    text_width,
)

MARGIN = 24.0
_FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_STYLE = f"""\
text {{ font-family: {_FONT}; fill: #1f2937; }}
.head {{ font-size: {HEAD_SIZE:g}px; font-weight: 700; }}
.title {{ font-size: {TITLE_SIZE:g}px; font-weight: 700; text-anchor: middle; }}
.line {{ font-size: {TEXT_SIZE:g}px; text-anchor: middle; fill: #374151; }}
.key, .sub {{ font-size: {TEXT_SIZE:g}px; fill: #4b5563; }}
.size {{ font-size: {SMALL_SIZE:g}px; fill: #6b7280; paint-order: stroke; stroke: #fff; stroke-width: 3px; }}
.name {{ font-size: {SMALL_SIZE:g}px; fill: #6b7280; font-weight: 700; }}
.edge {{ fill: none; stroke: #94a3b8; stroke-width: 1.4; }}
.frame {{ fill: #f8fafc; stroke: #cbd5e1; stroke-width: 1; }}
"""


def svg(scene: Scene) -> str:
    """The scene as an SVG file of its own; equal scenes give equal text."""
    width, height = _num(scene.width), _num(scene.height)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'{head} role="img">\n{body(scene)}</svg>\n'


def body(scene: Scene) -> str:
    """What stands between ``<svg>`` and ``</svg>``."""
    return "\n".join(_parts(scene)) + "\n"


def _parts(scene: Scene) -> Iterator[str]:
    yield f"<title>{_text(scene.title)}</title>"
    yield f"<style>\n{_STYLE}</style>"
    yield (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0,0.5 L8,4 L0,7.5 z" fill="#94a3b8"/></marker></defs>'
    )
    yield '<rect width="100%" height="100%" fill="#ffffff"/>'
    yield from _heading(scene)
    yield from map(_frame, scene.frames)
    yield from map(_edge, scene.edges)
    yield from map(_label, scene.labels)
    yield from map(_frame_title, scene.frames)
    for card in scene.cards:
        yield from _card(card)


def _heading(scene: Scene) -> Iterator[str]:
    y = MARGIN + HEAD_SIZE * 0.8
    yield f'<text class="head" x="{_num(MARGIN)}" y="{_num(y)}">{_text(scene.title)}</text>'
    yield f'<text class="sub" x="{_num(MARGIN)}" y="{_num(y + 20)}">{_text(scene.subtitle)}</text>'
    for x, row, kind in keys(scene):
        at = y + 34 + row
        yield (
            f'<rect x="{_num(x)}" y="{_num(at)}" width="14" height="10" rx="2" '
            f'fill="{kind.fill}" stroke="{kind.line}"/>'
        )
        yield f'<text class="key" x="{_num(x + 19)}" y="{_num(at + 9)}">{_text(kind.name)}</text>'


def keys(scene: Scene) -> Iterator[tuple[float, float, Kind]]:
    """Where the entries of the legend stand: x, distance from the first row, kind."""
    x, y = MARGIN, 0.0
    for kind in scene.legend:
        width = text_width(kind.name, TEXT_SIZE) + 34
        if x + width > scene.width - MARGIN + 12 and x > MARGIN:
            x, y = MARGIN, y + 18
        yield x, y, kind
        x += width


def _frame(frame: Frame) -> str:
    return f'<rect class="frame" {_place(frame.rect)} rx="8"/>'


def _place(r: Rect) -> str:
    return f'x="{_num(r.x)}" y="{_num(r.y)}" width="{_num(r.width)}" height="{_num(r.height)}"'


def _frame_title(frame: Frame) -> str:
    return f'<text class="name" x="{_num(frame.rect.x + 8)}" y="{_num(frame.rect.y + 14)}">{_text(frame.title)}</text>'


def _edge(edge: Edge) -> str:
    mark = ' marker-end="url(#arrow)"' if edge.arrow else ""
    data = f'data-from="{_attr(edge.source)}" data-to="{_attr(edge.target)}" data-blob="{_attr(edge.blob)}"'
    return f'<path class="edge" {data} d="{path(edge)}"{mark}/>'


def path(edge: Edge) -> str:
    """The way of an edge in SVG's path language."""
    return _elbows(edge.points) if edge.elbows else _curves(edge.points)


def _curves(points: tuple[Point, ...]) -> str:
    steps = [f"M{_at(points[0])}"]
    for (ax, ay), (bx, by) in pairwise(points):
        if abs(by - ay) < 0.01 and abs(bx - ax) < 0.01:
            continue
        middle = (ay + by) / 2
        upright = abs(bx - ax) < 0.01
        steps.append(f"L{_at((bx, by))}" if upright else f"C{_at((ax, middle))} {_at((bx, middle))} {_at((bx, by))}")
    return " ".join(steps)


def _elbows(points: tuple[Point, ...], radius: float = 8.0) -> str:
    steps = [f"M{_at(points[0])}"]
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        steps.append(f"L{_at(toward(b, a, radius))} Q{_at(b)} {_at(toward(b, c, radius))}")
    return " ".join([*steps, f"L{_at(points[-1])}"])


def toward(a: Point, b: Point, distance: float) -> Point:
    """The point so far from a in the direction of b, at most half of the way."""
    length = ((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5
    share = min(0.5, distance / length) if length else 0.0
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _label(label: Label) -> str:
    return f'<text class="size" x="{_num(label.x)}" y="{_num(label.y)}">{_text(label.text)}</text>'


def _card(card: Card) -> Iterator[str]:
    r, middle = card.rect, card.rect.x + card.rect.width / 2
    box = _place(r)
    colours = f'fill="{card.kind.fill}" stroke="{card.kind.line}"'
    if card.reference:
        yield f'<g class="reference" data-of="{_attr(card.id)}"><rect {box} rx="9" {colours} stroke-dasharray="3 2"/>'
        yield f'<text class="line" x="{_num(middle)}" y="{_num(r.y + 12.5)}">{_text(card.title)}</text></g>'
        return
    yield f'<g class="box" data-id="{_attr(card.id)}"><title>{_text(card.id)}</title>'
    yield f'<rect {box} rx="6" {colours}/>'
    yield f'<text class="title" x="{_num(middle)}" y="{_num(r.y + 17)}">{_text(card.title)}</text>'
    for index, line in enumerate(card.lines):
        yield f'<text class="line" x="{_num(middle)}" y="{_num(r.y + 31 + 13 * index)}">{_text(line)}</text>'
    yield "</g>"


def _at(point: Point) -> str:
    return f"{_num(point[0])},{_num(point[1])}"


def _num(value: float) -> str:
    """At most one decimal, so that files are small and equal on every machine."""
    return f"{round(value, 1):g}" if abs(value) < 1e5 else f"{value:.0f}"


def _text(text: str) -> str:
    return escape(clean(text), quote=False)


def _attr(text: str) -> str:
    return escape(clean(text), quote=True)


def clean(text: str) -> str:
    """The text with a question mark for each character that XML cannot hold, or a browser would change."""
    return "".join(char if _allowed(char) else "?" for char in text)


def _allowed(char: str) -> bool:
    code = ord(char)
    return code in (9, 10) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code >= 0x10000
