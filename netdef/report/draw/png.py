"""A scene as PNG, painted by matplotlib, which the extra `viz` brings."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

from netdef.report.draw.scene import (
    HEAD_SIZE,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    Card,
    Edge,
    Point,
    Scene,
)
from netdef.report.draw.svg import MARGIN, keys, toward

_DPI = 96.0
_FONT = "DejaVu Sans"
_NARROWER = 0.84
"""DejaVu is so much wider than the fonts that the layout has in mind."""
MAX_PIXELS = 2**15
"""A side of a picture; longer ones are scaled down, since few programs open them."""


def png(scene: Scene, scale: float = 2.0) -> bytes:
    """The picture, `scale` pixels for each of the scene's.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = min(scale, MAX_PIXELS / max(scene.width, scene.height))
    figure = Figure(figsize=(scene.width / _DPI, scene.height / _DPI), dpi=_DPI * scale, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    _paint(axes, scene)
    stream = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(stream, metadata={"Software": "netdef"})
    return stream.getvalue()


def _paint(axes: Any, scene: Scene) -> None:
    """Frames, edges, cards, words, in this order. `Any`, since matplotlib need not be there."""
    y = MARGIN + HEAD_SIZE * 0.8
    _words(axes, MARGIN, y, scene.title, HEAD_SIZE, "#1f2937", bold=True, left=True)
    _words(axes, MARGIN, y + 20, scene.subtitle, TEXT_SIZE, "#4b5563", left=True)
    for x, row, kind in keys(scene):
        _box(axes, x, y + 34 + row, 14, 10, 2, kind.fill, kind.line)
        _words(axes, x + 19, y + 43 + row, kind.name, TEXT_SIZE, "#4b5563", left=True)
    for frame in scene.frames:
        r = frame.rect
        _box(axes, r.x, r.y, r.width, r.height, 8, "#f8fafc", "#cbd5e1")
    for edge in scene.edges:
        _edge(axes, edge)
    for label in scene.labels:
        _words(axes, label.x, label.y, label.text, SMALL_SIZE, "#6b7280", left=True, halo=True)
    for frame in scene.frames:
        _words(axes, frame.rect.x + 8, frame.rect.y + 14, frame.title, SMALL_SIZE, "#6b7280", bold=True, left=True)
    for card in scene.cards:
        _card(axes, card)


def _card(axes: Any, card: Card) -> None:
    r, middle = card.rect, card.rect.x + card.rect.width / 2
    radius, style = (9, "--") if card.reference else (6, "-")
    _box(axes, r.x, r.y, r.width, r.height, radius, card.kind.fill, card.kind.line, style)
    if card.reference:
        _words(axes, middle, r.y + 12.5, card.title, TEXT_SIZE, "#374151")
        return
    _words(axes, middle, r.y + 17, card.title, TITLE_SIZE, "#1f2937", bold=True)
    for index, line in enumerate(card.lines):
        _words(axes, middle, r.y + 31 + 13 * index, line, TEXT_SIZE, "#374151")


def _box(
    axes: Any, x: float, y: float, width: float, height: float, radius: float, fill: str, line: str, style: str = "-"
) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = f"round,pad=0,rounding_size={radius}"
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle=shape, fc=fill, ec=line, lw=0.75, ls=style)  # in points
    )


def _words(
    axes: Any,
    x: float,
    y: float,
    text: str,
    size: float,
    colour: str,
    *,
    bold: bool = False,
    left: bool = False,
    halo: bool = False,
) -> None:
    from matplotlib.patheffects import withStroke

    axes.text(
        x,
        y,
        text,
        fontsize=size * 72 / _DPI * _NARROWER,
        color=colour,
        family=_FONT,
        weight="bold" if bold else "normal",
        ha="left" if left else "center",
        va="baseline",
        parse_math=False,
        path_effects=[withStroke(linewidth=2, foreground="white")] if halo else [],
    )


def _edge(axes: Any, edge: Edge) -> None:
    from matplotlib.patches import FancyArrowPatch, PathPatch
    from matplotlib.path import Path

    vertices, codes = _elbows(edge.points) if edge.elbows else _curves(edge.points)
    path = Path(vertices, codes)
    axes.add_patch(PathPatch(path, fc="none", ec="#94a3b8", lw=1.05))
    if edge.arrow:
        x, y = edge.points[-1]
        axes.add_patch(
            FancyArrowPatch(
                (x, y - 7),
                (x, y),
                arrowstyle="-|>,head_width=0.4,head_length=0.8",
                mutation_scale=7,
                color="#94a3b8",
                lw=0,
                shrinkA=0,
                shrinkB=0,
            )
        )


_MOVE, _LINE, _QUADRATIC, _CUBIC = 1, 2, 3, 4
"""matplotlib's codes of a path."""


def _curves(points: tuple[Point, ...]) -> tuple[list[Point], list[int]]:
    vertices, codes = [points[0]], [_MOVE]
    for (ax, ay), (bx, by) in pairwise(points):
        middle = (ay + by) / 2
        vertices += [(ax, middle), (bx, middle), (bx, by)]
        codes += [_CUBIC] * 3
    return vertices, codes


def _elbows(points: tuple[Point, ...], radius: float = 8.0) -> tuple[list[Point], list[int]]:
    vertices, codes = [points[0]], [_MOVE]
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        vertices += [toward(b, a, radius), b, toward(b, c, radius)]
        codes += [_LINE, _QUADRATIC, _QUADRATIC]
    return [*vertices, points[-1]], [*codes, _LINE]
