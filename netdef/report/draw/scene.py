"""What is in a picture, with coordinates in pixels (y down), before it becomes SVG or PNG?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netdef.report.draw.kinds import Kind

Point = tuple[float, float]

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE, HEAD_SIZE = 12.0, 10.0, 9.5, 18.0


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def moved(self, dx: float, dy: float) -> Rect:
        """The rectangle elsewhere."""
        return replace(self, x=self.x + dx, y=self.y + dy)


@dataclass(frozen=True, slots=True)
class Card:
    """A box of the net on the page; `reference` marks the repetition of an input near a reader far away from it."""

    id: str
    rect: Rect
    kind: Kind
    title: str
    lines: tuple[str, ...] = ()
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """The border around a group."""

    rect: Rect
    title: str


@dataclass(frozen=True, slots=True)
class Edge:
    """A blob on its way: through `points`, in curves with upright ends, or in straight lines with round corners.

    Attributes:
        source: id of the box that makes the blob.
        target: id of the box that reads it; empty where the edge ends at the border of a group.
        blob: the blob's id.
        elbows: straight lines and corners.
    """

    source: str
    target: str
    blob: str
    points: tuple[Point, ...]
    elbows: bool = False

    @property
    def arrow(self) -> bool:
        """Whether it ends at a box."""
        return self.target != ""


@dataclass(frozen=True, slots=True)
class Label:
    """Words beside an edge."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn, frames at the bottom."""

    width: float
    height: float
    frames: tuple[Frame, ...] = ()
    edges: tuple[Edge, ...] = ()
    labels: tuple[Label, ...] = ()
    cards: tuple[Card, ...] = ()
    title: str = ""
    subtitle: str = ""
    legend: tuple[Kind, ...] = ()

    def moved(self, dx: float, dy: float) -> Scene:
        """The scene with everything elsewhere; its size stays."""
        return replace(
            self,
            frames=tuple(replace(f, rect=f.rect.moved(dx, dy)) for f in self.frames),
            edges=tuple(replace(e, points=tuple((x + dx, y + dy) for x, y in e.points)) for e in self.edges),
            labels=tuple(replace(one, x=one.x + dx, y=one.y + dy) for one in self.labels),
            cards=tuple(replace(card, rect=card.rect.moved(dx, dy)) for card in self.cards),
        )


_NARROW = frozenset("iljtfrI.,:;'|!()[]/ ")
_WIDE = frozenset("mwMW@%&")


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif font, rather too wide than too narrow."""
    return size * sum(map(_advance, text))


def _advance(char: str) -> float:
    if char in _NARROW:
        return 0.34
    if char in _WIDE:
        return 0.9
    if ord(char) >= 0x2E80:
        return 1.0
    return 0.7 if char.isupper() else 0.57


def elide(text: str, length: int = 40) -> str:
    """A text of at most `length` characters, its middle left out where it is longer."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"
