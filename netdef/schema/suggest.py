"""Which known name did somebody mean who wrote an unknown one?"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate fewest slips away from `word`, or None where all are too far to be meant.

    A slip is a letter too many, missing, wrong, or swapped with its neighbour; a difference of case or ``_``
    counts half. A third of the letters may be wrong. The earliest of equals is taken.
    """
    ranked = _ranked(word, tuple(candidates))
    return ranked[0][1] if ranked else None


def certain(word: str, candidates: Iterable[str]) -> str | None:
    """The nearest candidate where no doubt is left: at most two slips, and no other so near."""
    ranked = _ranked(word, tuple(candidates))
    if not ranked or ranked[0][0] > 2 or (len(ranked) > 1 and ranked[1][0] == ranked[0][0]):
        return None
    return ranked[0][1]


@lru_cache(maxsize=4096)
def _ranked(word: str, candidates: tuple[str, ...]) -> tuple[tuple[float, str], ...]:
    found = []
    for candidate in candidates:
        if candidate == word:
            continue
        reach = max(1, min(len(word), len(candidate)) // 3)
        distance = _distance(word, candidate, reach)
        if distance <= reach:
            found.append((distance, candidate))
    return tuple(sorted(found, key=lambda pair: pair[0]))


def _distance(a: str, b: str, reach: int) -> float:
    """Slips between `a` and `b`; past `reach`, any number past it."""
    plain_a, plain_b = _plain(a), _plain(b)
    if plain_a == plain_b:
        return 0.5
    if abs(len(plain_a) - len(plain_b)) > reach:
        return reach + 1
    return _alignment(plain_a, plain_b)


def _plain(word: str) -> str:
    return word.lower().replace("_", "")


def _alignment(a: str, b: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`; row by row."""
    before: list[int] = []
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, above = above, row
    return above[-1]
