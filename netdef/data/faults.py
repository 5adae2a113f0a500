"""How does a fault in a data source become a diagnostic?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from netdef.diagnostics import NetdefError, RunError, Span, error


class BadData(Exception):
    """A data source holds what cannot be used: a diagnostic's code, message and help, still without its span."""

    def __init__(self, code: str, message: str, *, help: str = "", failed: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.help, self.failed = code, message, help, failed


@contextmanager
def reported(name: str = "", span: Span | None = None) -> Iterator[None]:
    """Turn a BadData raised in the block into a NetdefError that names the layer and points at its text."""
    try:
        yield
    except BadData as fault:
        raise as_error(fault, name, span) from fault


def as_error(fault: BadData, name: str = "", span: Span | None = None) -> NetdefError:
    """The error that a user sees; `name` is the layer's, empty where no layer asked for the data."""
    place = f'layer "{name}": ' if name else ""
    kind = RunError if fault.failed else NetdefError
    return kind([error(fault.code, place + fault.message, span=span, help=fault.help or ())])


def plural(count: int, noun: str) -> str:
    """``1 record``, ``7 records``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
