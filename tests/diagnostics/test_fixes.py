"""Do fixes change what they should, and nothing twice?"""

from __future__ import annotations

from netdef.diagnostics import Diagnostic, Edit, Fix, Source, Span, error
from netdef.diagnostics.fixes import apply_fixes

SOURCE = Source("x", "abcdef")


def _fix(*edits: tuple[int, int, str], source: Source = SOURCE) -> Diagnostic:
    made = tuple(Edit(Span(source, start, end), text) for start, end, text in edits)
    return error("ND0101", "m", fix=Fix("mend", made))


def test_edits_from_several_fixes() -> None:
    assert apply_fixes(SOURCE, [_fix((4, 5, "")), _fix((0, 1, "XY"), (2, 2, "-")), error("ND0101", "m")]) == "XYb-cdf"


def test_overlapping_fix_is_left_out_whole() -> None:
    assert apply_fixes(SOURCE, [_fix((0, 3, "X")), _fix((2, 4, "Y"), (5, 6, "Z"))]) == "Xdef"


def test_two_insertions_at_one_place() -> None:
    assert apply_fixes(SOURCE, [_fix((2, 2, "X")), _fix((2, 2, "Y"))]) == "abXcdef"


def test_same_edit_twice() -> None:
    assert apply_fixes(SOURCE, [_fix((0, 1, "X")), _fix((0, 1, "X"), (5, 6, "Y"))]) == "XbcdeY"


def test_touching_edits() -> None:
    assert apply_fixes(SOURCE, [_fix((0, 2, "X")), _fix((2, 4, "Y"))]) == "XYef"


def test_other_files_are_left() -> None:
    assert apply_fixes(SOURCE, [_fix((0, 1, "X"), source=Source("y", "abc"))]) == "abcdef"
