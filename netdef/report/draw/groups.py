"""Which boxes form a module (an inception module, a residual block)? Their names tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_MIN, _MAX = 2, 24
"""How many boxes a group has."""


@dataclass(frozen=True, slots=True)
class Group:
    """A module: the prefix that its boxes' names share, and their ids."""

    name: str
    members: tuple[str, ...]


Accept = Callable[[tuple[str, ...]], bool]


def groups(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> tuple[Group, ...]:
    """Groups of names with a common beginning (up to ``/``, ``_`` or ``.``) that hang together.

    `edges` join names in the direction of the data. As a whole each group comes before or after every other one and
    every box: it can be drawn as one box itself.
    """
    edges = tuple(edges)
    found: list[Group] = []

    def fits(members: tuple[str, ...]) -> bool:
        trial = [*found, Group("", members)]
        return _connected(members, edges) and _acyclic(names, edges, trial)

    for group in _candidates("", tuple(names), fits):
        found.append(group)
    return tuple(found)


def _candidates(prefix: str, names: tuple[str, ...], fits: Accept) -> Iterator[Group]:
    """The coarsest groups below a prefix, unless all of its parts are groups themselves."""
    parts = _parts(prefix, names)
    whole = len(parts) > 1 and all(len(members) >= _MIN for members in parts.values())
    if prefix and not whole and _MIN <= len(names) <= _MAX and fits(names):
        yield Group(prefix, names)
        return
    for part, members in parts.items():
        if len(members) >= _MIN and part != prefix:
            yield from _candidates(part, members, fits)


def _parts(prefix: str, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The names by the next piece after the prefix; the prefix itself is a part of its own."""
    parts: dict[str, list[str]] = {}
    for name in names:
        rest = name[len(prefix) :]
        piece = re.match(r"[/_.]*[^/_.]*", rest)
        parts.setdefault(prefix + (piece.group() if piece else ""), []).append(name)
    return {part: tuple(members) for part, members in parts.items()}


def _connected(members: tuple[str, ...], edges: Iterable[tuple[str, str]]) -> bool:
    """Whether one can walk between any two of them without leaving the group."""
    inside = set(members)
    near: dict[str, list[str]] = {name: [] for name in members}
    for a, b in edges:
        if a in inside and b in inside:
            near[a].append(b)
            near[b].append(a)
    seen, todo = {members[0]}, [members[0]]
    while todo:
        fresh = [name for name in near[todo.pop()] if name not in seen]
        seen.update(fresh)
        todo += fresh
    return len(seen) == len(inside)


def _acyclic(names: Sequence[str], edges: Iterable[tuple[str, str]], found: Iterable[Group]) -> bool:
    """Whether the net stays free of circles when each group becomes one box."""
    owner: Mapping[str, str] = {name: group.members[0] for group in found for name in group.members}
    joined = {(owner.get(a, a), owner.get(b, b)) for a, b in edges}
    return topological([owner.get(name, name) for name in names], {(a, b) for a, b in joined if a != b}) is not None


def topological(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[str] | None:
    """The names with every edge pointing forwards, as near to the given order as can be; None in a circle."""
    unique = list(dict.fromkeys(names))
    after: dict[str, list[str]] = {name: [] for name in unique}
    waits = dict.fromkeys(unique, 0)
    for a, b in edges:
        after[a].append(b)
        waits[b] += 1
    place = {name: index for index, name in enumerate(unique)}
    order: list[str] = []
    ready = [name for name in unique if not waits[name]]
    while ready:
        name = min(ready, key=place.__getitem__)
        ready.remove(name)
        order.append(name)
        for other in after[name]:
            waits[other] -= 1
            if not waits[other]:
                ready.append(other)
    return order if len(order) == len(unique) else None
