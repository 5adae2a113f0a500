"""How does a person read a diagnostic? The message, then the lines at fault with what is to say under them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from netdef.diagnostics.diagnostic import Diagnostic, Severity
from netdef.diagnostics.source import Source, Span

TAB_WIDTH = 4
MAX_COLUMNS = 120
"""Of a longer line only the part around the underline is shown."""

MAX_GAP = 8
"""Line numbers alone show that lines are left out; after so many, dots do too."""

_COLOURS = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.NOTE: "1;36"}
_GUTTER = "1;34"


def render(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """All diagnostics, an empty line between them; with ANSI colours where `color` is set."""
    paint = _Paint(color)
    return "\n".join("".join(f"{line}\n" for line in _one(d, paint)) for d in diagnostics)


@dataclass(frozen=True, slots=True)
class _Paint:
    """Wraps text in ANSI colours, or leaves it alone."""

    on: bool

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on and text else text


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is underlined, with which sign, and what stands behind the underline."""

    span: Span
    sign: str
    text: str
    colour: str


def _one(d: Diagnostic, paint: _Paint) -> Iterator[str]:
    colour = _COLOURS[d.severity]
    yield paint(colour, f"{d.severity.value}[{d.code}]") + paint("1", f": {_printable(d.message)}")
    marks = _marks(d, colour)
    width = max((len(str(mark.span.line)) for mark in marks), default=1)
    if d.span:
        yield from _places(d.span.source, marks, width, paint)
    for text in d.help:
        first, *others = _printable(text, keep="\n").split("\n")
        yield paint(_GUTTER, " " * width + " =") + " " + paint("1", "help:") + f" {first}"
        yield from (" " * (width + 9) + line for line in others)
    if d.fix:
        title = _printable(d.fix.title)
        yield paint(_GUTTER, " " * width + " =") + " " + paint("1", "fix:") + f" {title} (with --fix)"


def _marks(d: Diagnostic, colour: str) -> list[_Mark]:
    if d.span is None:
        return []
    labels = [_Mark(label.span, "-", label.text, _GUTTER) for label in d.labels]
    return [_Mark(d.span, "^", d.label, colour), *labels]


def _places(main: Source, marks: list[_Mark], width: int, paint: _Paint) -> Iterator[str]:
    """The lines of the main file, then those of others that have a part in it."""
    sources = sorted({mark.span.source for mark in marks}, key=lambda source: (source != main, source.name))
    for source in sources:
        own = [mark for mark in marks if mark.span.source == source]
        arrow = "-->" if source == main else ":::"
        place = f" {_printable(source.name)}:{own[0].span.line}:{own[0].span.column}"
        yield paint(_GUTTER, " " * width + arrow) + place
        yield paint(_GUTTER, " " * width + " |")
        yield from _lines(source, own, width, paint)


def _lines(source: Source, marks: list[_Mark], width: int, paint: _Paint) -> Iterator[str]:
    previous = 0
    ordered = sorted(marks, key=lambda mark: (mark.span.line, mark.span.start, mark.span.end))
    for number, here in groupby(ordered, key=lambda mark: mark.span.line):
        if previous and number - previous > MAX_GAP:
            yield paint(_GUTTER, "...")
        previous = number
        yield from _line(source, number, list(here), width, paint)


def _line(source: Source, number: int, marks: Sequence[_Mark], width: int, paint: _Paint) -> Iterator[str]:
    """A line of the file, and one below it for each mark."""
    text = source.line(number)
    ranges = [_columns(text, mark.span) for mark in marks]
    window = _window(text, min(start for start, _ in ranges), max(end for _, end in ranges))
    yield paint(_GUTTER, f"{number:>{width}} |") + _indented(window.shown(text))
    for mark, (start, end) in zip(marks, ranges, strict=True):
        left, right = window.position(text, start), window.position(text, end)
        underline = mark.sign * max(right - left, 1)
        behind = f" {_printable(mark.text)}" if mark.text else ""
        yield paint(_GUTTER, " " * width + " |") + " " * (left + 1) + paint(mark.colour, underline + behind)


def _indented(line: str) -> str:
    return f" {line}" if line else ""


def _columns(text: str, span: Span) -> tuple[int, int]:
    """Characters of the line that a span covers; of a span over several lines, those of its first."""
    start = min(span.column - 1, len(text))
    return start, max(start, min(start + span.end - span.start, len(text)))


@dataclass(frozen=True, slots=True)
class _Window:
    """The characters of a line that are shown; dots stand for those before and after."""

    start: int
    end: int

    def shown(self, text: str) -> str:
        before = "…" if self.start else ""
        after = "…" if self.end < len(text) else ""
        return before + "".join(_cells(text[self.start : self.end])).rstrip() + after

    def position(self, text: str, index: int) -> int:
        """Screen column of a character of the line."""
        index = min(index, self.end)
        cells = _cells(text[self.start : index])
        return bool(self.start) + sum(_width(c) for cell in cells for c in cell)


def _window(text: str, start: int, end: int) -> _Window:
    if len(text) <= MAX_COLUMNS:
        return _Window(0, len(text))
    around = max(MAX_COLUMNS - (end - start), 40) // 2
    left = max(0, min(start - around, len(text) - MAX_COLUMNS))
    return _Window(left, min(len(text), left + MAX_COLUMNS))


def _cells(text: str) -> list[str]:
    """What each character looks like on the screen; tabs stop at every fourth column of what is shown."""
    cells: list[str] = []
    column = 0
    for character in text:
        cell = " " * (TAB_WIDTH - column % TAB_WIDTH) if character == "\t" else _printable(character)
        cells.append(cell)
        column += sum(_width(c) for c in cell)
    return cells


def _width(character: str) -> int:
    if character < "\x7f":
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _printable(text: str, keep: str = "") -> str:
    """The text without what would confuse a terminal: control characters and lone bytes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else "\ufffd" for c in text)
