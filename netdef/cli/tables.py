"""How does a table of figures reach the reader: names may wrap, numbers never; full width where a program reads."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_ENDLESS = 10_000
"""A width that no table reaches."""


def table(title: str, names: Sequence[str], numbers: Sequence[str]) -> Table:
    """An empty table: columns of names on the left, then columns of numbers."""
    made = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for name in names:
        made.add_column(name, overflow="fold", vertical="bottom")
    for name in numbers:
        made.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    return made


def print_table(made: Table) -> None:
    """Print it, as wide as a terminal is, or as wide as it needs to be."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = Measurement.get(console, console.options.update(max_width=_ENDLESS), made).maximum
    console.print(made, markup=False)
