"""How do diagnostics become annotations of a pull request? As workflow commands of GitHub Actions on the output."""

from __future__ import annotations

from collections.abc import Iterable

from netdef.diagnostics.diagnostic import Diagnostic, Severity
from netdef.diagnostics.source import Span

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """One command a line: ``::error file=…,line=…,col=…,endLine=…,endColumn=…,title=CODE::message``."""
    return "".join(_one(d) + "\n" for d in diagnostics)


def _one(d: Diagnostic) -> str:
    properties = {**(_place(d.span) if d.span else {}), "title": d.code}
    text = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    lines = [d.message, *([d.label] if d.label else []), *(f"help: {line}" for line in d.help)]
    return f"::{_COMMANDS[d.severity]} {text}::{_data(chr(10).join(lines))}"


def _place(span: Span) -> dict[str, str]:
    """GitHub takes columns only where the span begins and ends on one line."""
    end_line, end_column = span.source.position(span.end)
    place = {"file": span.source.name, "line": str(span.line), "endLine": str(end_line)}
    return place | ({"col": str(span.column), "endColumn": str(end_column)} if end_line == span.line else {})


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
