"""What does a text look like once its certain mistakes are mended?"""

from __future__ import annotations

from collections.abc import Iterable

from netdef.diagnostics.diagnostic import Diagnostic, Edit, Fix
from netdef.diagnostics.source import Source


def apply_fixes(source: Source, diagnostics: Iterable[Diagnostic]) -> str:
    """The text of `source` with every fix that touches it alone, each as a whole.

    Of fixes whose edits overlap the first wins; run the check again for the rest. The same edit wanted twice is
    made once.
    """
    taken: list[Edit] = []
    for d in diagnostics:
        if d.fix and _fits(d.fix, source, taken):
            taken += [edit for edit in d.fix.edits if edit not in taken]
    text = source.text
    for edit in sorted(taken, key=lambda edit: edit.span.start, reverse=True):
        text = text[: edit.span.start] + edit.replacement + text[edit.span.end :]
    return text


def _fits(fix: Fix, source: Source, taken: list[Edit]) -> bool:
    return all(
        edit.span.source == source and (edit in taken or not any(_overlap(edit, other) for other in taken))
        for edit in fix.edits
    )


def _overlap(one: Edit, other: Edit) -> bool:
    """Whether two edits want the same characters, or the same place between two."""
    a, b = one.span, other.span
    return a.start == b.start or (a.start < b.end and b.start < a.end)
