"""How does a command tell what it is at? A line on the terminal, which goes when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """What shows a text on that line; where stderr is no terminal it does nothing."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as line:
        yield lambda what: line.update(Text(what))
