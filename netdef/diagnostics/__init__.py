"""Floor 0: places in text, and what is told to the user about them."""

from netdef.diagnostics.diagnostic import (
    Diagnostic,
    Edit,
    Fix,
    Label,
    NetdefError,
    RunError,
    Severity,
    error,
    has_errors,
    note,
    warning,
)
from netdef.diagnostics.source import Source, Span

__all__ = [
    "Diagnostic",
    "Edit",
    "Fix",
    "Label",
    "NetdefError",
    "RunError",
    "Severity",
    "Source",
    "Span",
    "error",
    "has_errors",
    "note",
    "warning",
]
