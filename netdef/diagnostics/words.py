"""How does a message count things, and name some of many?"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice


def counted(count: int, noun: str) -> str:
    """``1 value``, ``3 values``; ``1 axis``, ``2 axes``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} axes" if noun == "axis" else f"{count} {noun}s"


def some(names: Collection[str], most: int = 5) -> str:
    """The first `most` names in quotes, and how many more there are: ``"a", "b" and 3 more``."""
    shown = ", ".join(f'"{name}"' for name in islice(names, most))
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
