"""How is diagnostics data handed to a program? As JSON; names and meaning stay while `version` does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from netdef.diagnostics.diagnostic import Diagnostic, Edit, Fix, Label
from netdef.diagnostics.source import Span

VERSION = 1


def render(diagnostics: Iterable[Diagnostic]) -> str:
    """One JSON object: ``{"version": 1, "diagnostics": [...]}``.

    Each diagnostic has `severity` (error, warning, note), `code`, `message`, `place` (or null), `label`, `labels`
    (`place`, `text`), `help` (list of lines), `fix` (or null; `title`, `edits` of `place` and `replacement`). A place
    is `file`, `start` and `end` (exclusive), each with `line` and `column` from 1, and `offset` from 0, counted in
    characters.
    """
    return json.dumps({"version": VERSION, "diagnostics": [_one(d) for d in diagnostics]}, indent=2) + "\n"


def _one(d: Diagnostic) -> dict[str, Any]:
    return {
        "severity": d.severity.value,
        "code": d.code,
        "message": d.message,
        "place": _place(d.span) if d.span else None,
        "label": d.label,
        "labels": [_label(label) for label in d.labels],
        "help": list(d.help),
        "fix": _fix(d.fix) if d.fix else None,
    }


def _label(label: Label) -> dict[str, Any]:
    return {"place": _place(label.span), "text": label.text}


def _fix(fix: Fix) -> dict[str, Any]:
    return {"title": fix.title, "edits": [_edit(edit) for edit in fix.edits]}


def _edit(edit: Edit) -> dict[str, Any]:
    return {"place": _place(edit.span), "replacement": edit.replacement}


def _place(span: Span) -> dict[str, Any]:
    return {"file": span.source.name, "start": _point(span, span.start), "end": _point(span, span.end)}


def _point(span: Span, offset: int) -> dict[str, int]:
    line, column = span.source.position(offset)
    return {"line": line, "column": column, "offset": offset}
