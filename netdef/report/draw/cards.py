"""How large is a box of the net, and what stands in it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netdef.ir import Blob
from netdef.report.draw.boxes import Box
from netdef.report.draw.rank import Item
from netdef.report.draw.scene import TEXT_SIZE, TITLE_SIZE, Card, Rect, elide, text_width

IN, OUT = "\0in\0", "\0out\0"
"""What the ids of a group's ports begin with, before the blob's."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A blob that one box reads from another."""

    source: str
    target: str
    blob: Blob


def wires(boxes: Mapping[str, Box]) -> list[Wire]:
    """Every blob once for each box that reads it."""
    made = {blob.id: box.id for box in boxes.values() for blob in box.tops}
    read = {(box.id, blob.id): blob for box in boxes.values() for blob in box.bottoms}
    return [Wire(made[blob.id], target, blob) for (target, _), blob in read.items()]


def item(box: Box) -> Item:
    """The box's size, by its longest line."""
    widths = [text_width(elide(box.id), TITLE_SIZE), *(text_width(line, TEXT_SIZE) for line in box.lines)]
    return Item(box.id, max(80.0, max(widths) + 18), 26.0 + 13.0 * len(box.lines))


def card(box: Box, rect: Rect, group: str = "") -> Card:
    """The box on the page; in a group without the prefix that the frame shows."""
    short = box.id.removeprefix(group).lstrip("/_.") if group else ""
    title = short if any(map(str.isalpha, short)) else box.id
    return Card(box.id, rect, box.kind, elide(title), box.lines)


def leaves(box: Box, blob: Blob) -> float:
    """Where a blob leaves its box: in the middle, or side by side with the box's others."""
    ids = [top.id for top in box.tops]
    step = item(box).width / (len(ids) + 1)
    return (ids.index(blob.id) - (len(ids) - 1) / 2) * step
