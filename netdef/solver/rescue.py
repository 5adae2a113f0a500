"""What does a failure in mid-run say of what was learned before it?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from netdef.diagnostics import Diagnostic, NetdefError, RunError, Severity


def rescued(failure: NetdefError, iteration: int, save: Callable[[], Path]) -> NetdefError:
    """The failure with one more piece of help: where the snapshot is that `save` takes, or why there is none."""
    try:
        note = f"nothing that was learned is lost: `--snapshot {save()}` goes on at iteration {iteration}"
    except (NetdefError, OSError, RuntimeError) as other:
        note = f"no snapshot of iteration {iteration} could be taken: {why(other)}"
    first, *rest = failure.diagnostics
    return type(failure)([replace(first, help=(*first.help, note)), *rest])


def going_on(failure: RunError) -> list[Diagnostic]:
    """A failure that the run goes on after, as a warning that says so."""
    first, *rest = failure.diagnostics
    told = replace(first, severity=Severity.WARNING, help=("training goes on", *first.help))
    return [told, *rest]


def why(fault: NetdefError | OSError | RuntimeError) -> str:
    """The reason in a few words."""
    if isinstance(fault, NetdefError):
        return fault.diagnostics[0].message
    return (isinstance(fault, OSError) and fault.strerror) or str(fault).partition("\n")[0]
