"""What is told to a user who made a mistake, as data: code, message, places, help, and a fix when known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from netdef.diagnostics.source import Span


class Severity(Enum):
    """How grave a diagnostic is; only an error stops the work."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that has a part in the matter, and what there is to say of it."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `replacement` in the place of `span`."""

    span: Span
    replacement: str


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that mends the fault, safe to apply without asking."""

    title: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    Attributes:
        severity: whether it stops the work.
        code: stable name, ``ND`` and four digits; `netdef explain` tells more about it.
        message: what was found and what was expected, in one line.
        span: the offending characters; None where no text is at fault (a missing file, say).
        label: what stands under the span's underline.
        labels: other places that have a part in it.
        help: what to do, a line each.
        fix: an edit that mends it, where one is certain.
    """

    severity: Severity
    code: str
    message: str
    span: Span | None = None
    label: str = ""
    labels: tuple[Label, ...] = ()
    help: tuple[str, ...] = ()
    fix: Fix | None = None


_MAX_TEXT = 2000


def error(
    code: str,
    message: str,
    *,
    span: Span | None = None,
    label: str = "",
    labels: tuple[Label, ...] = (),
    help: str | tuple[str, ...] = (),
    fix: Fix | None = None,
) -> Diagnostic:
    """A diagnostic that stops the work after the stage that found it."""
    return Diagnostic(Severity.ERROR, code, _short(message), span, _short(label), labels, _lines(help), fix)


def warning(
    code: str,
    message: str,
    *,
    span: Span | None = None,
    label: str = "",
    labels: tuple[Label, ...] = (),
    help: str | tuple[str, ...] = (),
    fix: Fix | None = None,
) -> Diagnostic:
    """A diagnostic of something dubious that Caffe would accept."""
    return Diagnostic(Severity.WARNING, code, _short(message), span, _short(label), labels, _lines(help), fix)


def note(code: str, message: str) -> Diagnostic:
    """A diagnostic that only tells what was done."""
    return Diagnostic(Severity.NOTE, code, _short(message))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether one of them stops the work."""
    return any(d.severity is Severity.ERROR for d in diagnostics)


def _lines(help: str | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(help, str):
        return (_short(help),) if help else ()
    return tuple(map(_short, help))


def _short(text: str) -> str:
    """The text without its middle where it is beyond reading: a name of ten megabytes is not repeated in full."""
    if len(text) <= _MAX_TEXT:
        return text
    half = _MAX_TEXT // 2
    return f"{text[:half]} … {text[-half:]}"


class NetdefError(Exception):
    """The work cannot go on; `diagnostics` say why, and `exit_code` what a command line returns for it.

    Exit codes: 1, the input is wrong; 3, the run failed (out of memory, no disk, diverged).
    """

    exit_code = 1

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(_summary(d) for d in self.diagnostics))


class RunError(NetdefError):
    """The input was fine, but the run failed: no memory, no disk, diverged."""

    exit_code = 3


def _summary(d: Diagnostic) -> str:
    place = f"{d.span.source.name}:{d.span.line}:{d.span.column}: " if d.span else ""
    return f"{place}{d.severity.value}[{d.code}]: {d.message}"
