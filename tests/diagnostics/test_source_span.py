"""Are places counted as people count them?"""

from __future__ import annotations

import pytest

from netdef.diagnostics import Source, Span

SOURCE = Source("x", "ab\r\ncé\n\nd")


@pytest.mark.parametrize(
    ("offset", "line", "column"),
    [(0, 1, 1), (2, 1, 3), (3, 1, 4), (4, 2, 1), (5, 2, 2), (7, 3, 1), (8, 4, 1), (9, 4, 2)],
)
def test_position(offset: int, line: int, column: int) -> None:
    assert SOURCE.position(offset) == (line, column)


def test_lines_come_without_breaks() -> None:
    assert [SOURCE.line(n) for n in (1, 2, 3, 4)] == ["ab", "cé", "", "d"]


def test_span() -> None:
    span = Span(SOURCE, 0, 1).to(Span(SOURCE, 4, 6))
    assert (span.text, span.line, span.column) == ("ab\r\ncé", 1, 1)


def test_empty_text() -> None:
    source = Source("x", "")
    assert (source.position(0), source.line(1)) == ((1, 1), "")
