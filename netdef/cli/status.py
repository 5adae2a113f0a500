"""How does a command tell what it is at? By a line on the terminal, which goes when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress
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


@contextmanager
def ticking(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """What moves a progress bar on by so many steps of `total`; where stderr is no terminal it does nothing."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
