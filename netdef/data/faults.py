"""How does a fault in a data source become a diagnostic?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from netdef.diagnostics import NetdefError, RunError, Span, error
from netdef.ir import Places


class BadData(Exception):
    """A data source holds what cannot be used: a diagnostic's code, message and help, still without its span.

    `field` is the field of the data layer that is at fault, or that names the file that is.
    """

    def __init__(self, code: str, message: str, *, help: str = "", failed: bool = False, field: str = "source") -> None:
        super().__init__(message)
        self.code, self.message, self.help, self.failed, self.field = code, message, help, failed, field


@contextmanager
def reported(name: str = "", places: Places = Places()) -> Iterator[None]:  # noqa: B008 - frozen
    """Turn a BadData raised in the block into a NetdefError that names the layer and points at its field."""
    try:
        yield
    except BadData as fault:
        raise as_error(fault, name, places) from fault


def as_error(fault: BadData, name: str = "", places: Places = Places()) -> NetdefError:  # noqa: B008 - frozen
    """The error that a user sees; name and places are the layer's, empty where no layer asked for the data."""
    place = f'layer "{name}": ' if name else ""
    kind = RunError if fault.failed else NetdefError
    return kind([error(fault.code, place + fault.message, span=place_of(fault, places), help=fault.help or ())])


def place_of(fault: BadData, places: Places) -> Span | None:
    """The field at fault, else the one that names the source, else the layer."""
    return places.fields.get(fault.field) or places.fields.get("source") or places.layer
