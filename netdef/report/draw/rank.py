"""On which level does each item stand, so that all links point down? Longest paths (Eades and Sugiyama 1990)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from netdef.report.draw.groups import topological


@dataclass(frozen=True, slots=True)
class Item:
    """Something with a size that is to be placed; a pinned one stands on the first or the last level."""

    id: str
    width: float
    height: float
    pin: Literal["", "first", "last"] = ""


@dataclass(frozen=True, slots=True)
class Link:
    """A blob between two items, with the places where it leaves and enters, from the middle of each item (pixels)."""

    source: str
    target: str
    blob: str
    leaves: float = 0.0
    enters: float = 0.0


def rank(items: Sequence[Item], links: Sequence[Link]) -> dict[str, int]:
    """The level of each item from 0; an item that nothing leads to stands right above the first that it leads to."""
    pairs = {(link.source, link.target) for link in links}
    order = topological([item.id for item in items], sorted(pairs))
    assert order is not None, "the links go in circles"
    before: dict[str, list[str]] = {id: [] for id in order}
    after: dict[str, list[str]] = {id: [] for id in order}
    for a, b in pairs:
        before[b].append(a)
        after[a].append(b)
    levels: dict[str, int] = {}
    for id in order:
        levels[id] = max((levels[a] + 1 for a in before[id]), default=0)
    pins = {item.id: item.pin for item in items}
    for id in order:
        if not before[id] and after[id] and not pins[id]:
            levels[id] = min(levels[b] for b in after[id]) - 1
    last = max(levels.values(), default=0)
    levels.update((item.id, last) for item in items if item.pin == "last")
    return levels
