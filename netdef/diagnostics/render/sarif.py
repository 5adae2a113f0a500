"""How do code scanners and editors read diagnostics? As SARIF 2.1.0, the OASIS standard for results of analysis."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from netdef.diagnostics.codes import pages
from netdef.diagnostics.diagnostic import Diagnostic, Fix, Label
from netdef.diagnostics.source import Source, Span

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """One SARIF log of one run: a rule for each code that occurs, a result for each diagnostic."""
    found = list(diagnostics)
    codes = sorted({d.code for d in found})
    run = {
        "tool": {"driver": {"name": "netdef", "version": _version(), "rules": [_rule(code) for code in codes]}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, codes.index(d.code)) for d in found],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _version() -> str:
    try:
        return version("netdef")
    except PackageNotFoundError:
        return "0"


def _rule(code: str) -> dict[str, Any]:
    page = pages().get(code)
    if page is None:
        return {"id": code}
    return {"id": code, "shortDescription": {"text": page.title}, "help": {"text": page.text.strip()}}


def _result(d: Diagnostic, rule: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": d.code,
        "ruleIndex": rule,
        "level": d.severity.value,
        "message": {"text": "\n".join((d.message, *(f"help: {line}" for line in d.help)))},
    }
    if d.span:
        result["locations"] = [_location(d.span, d.label)]
    if d.labels:
        result["relatedLocations"] = [_related(number, label) for number, label in enumerate(d.labels, 1)]
    if d.fix:
        result["fixes"] = [_fix(d.fix)]
    return result


def _location(span: Span, text: str) -> dict[str, Any]:
    place = {"artifactLocation": _artifact(span.source), "region": _region(span)}
    return {"physicalLocation": place, **({"message": {"text": text}} if text else {})}


def _related(number: int, label: Label) -> dict[str, Any]:
    return {"id": number, **_location(label.span, label.text)}


def _artifact(source: Source) -> dict[str, str]:
    path = Path(source.name)
    return {"uri": path.as_uri() if path.is_absolute() else quote(path.as_posix(), errors="replace")}


def _region(span: Span) -> dict[str, int]:
    end_line, end_column = span.source.position(span.end)
    start_line, start_column = span.source.position(span.start)
    start = {"startLine": start_line, "startColumn": start_column}
    return start | {"endLine": end_line, "endColumn": end_column}


def _fix(fix: Fix) -> dict[str, Any]:
    sources = list(dict.fromkeys(edit.span.source for edit in fix.edits))
    changes = [_changes(fix, source) for source in sources]
    return {"description": {"text": fix.title}, "artifactChanges": changes}


def _changes(fix: Fix, source: Source) -> dict[str, Any]:
    edits = [edit for edit in fix.edits if edit.span.source == source]
    replacements = [
        {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.replacement}} for edit in edits
    ]
    return {"artifactLocation": _artifact(source), "replacements": replacements}
