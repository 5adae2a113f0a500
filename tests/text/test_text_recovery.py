"""Is every independent mistake told, once, at its place, with what helps?"""

from __future__ import annotations

import time

import pytest

from netdef.diagnostics import Diagnostic, Severity, Source
from netdef.diagnostics.fixes import apply_fixes
from netdef.text import parse, print_document

# Text, then for each diagnostic: line, column, the text at fault, code, a piece of the message.
CASES = {
    "second value": ("a: 1 2 b: 3", (1, 6, "2", "ND0101", "unexpected number `2`")),
    "quoted name": ('"a": 1\nb: 2', (1, 1, '"a"', "ND0101", "without quotes")),
    "brace without name": ("l {{ a: 1 } }\nb: 2", (1, 4, "{", "ND0101", "expected the name of a field")),
    "second colon": ("a:: 1", (1, 3, ":", "ND0101", "a second `:`")),
    "second separator": ("a: 1;; b: 2", (1, 6, ";", "ND0101", "no field before it")),
    "list in list": ("a: [[1, 2], [3]]\nb: 1", (1, 5, "[", "ND0101", "expected a value")),
    "open string": ('l { a: "foo }\nb: 2', (1, 8, '"foo', "ND0102", "not closed on its line")),
    "lone closing quote": ('a: foo"\nb: 1', (1, 7, '"', "ND0102", "closing quote without an opening one")),
    "typographic quotes": ("a: \u201cfoo\u201d b: 1", (1, 4, "\u201cfoo\u201d", "ND0102", "typographic")),
    "escape": (r'a: "\q \z"', (1, 5, r"\q", "ND0103", r"`\q` is no escape")),
    "octal": ("a: 08\nb: 1", (1, 4, "08", "ND0104", "8 is no octal digit")),
    "number runs into name": ("a: 10pad: 1", (1, 4, "10", "ND0104", "need a space between")),
    "hex": ("a: 0xG", (1, 4, "0xG", "ND0104", "no hexadecimal number")),
    "two points": ("a: 1.2.3", (1, 4, "1.2.3", "ND0104", "`1.2.3` is no number")),
    "minus alone": ('a: -"x" b: 1', (1, 4, "-", "ND0104", "needs a number")),
    "equals": ("a = 3", (1, 3, "=", "ND0105", "expected `:`")),
    "fullwidth colon": ("name\uff1a 3", (1, 5, "\uff1a", "ND0105", "expected `:`")),
    "a list of YAML": ("a:\n  - b: 1", (2, 3, "-", "ND0104", "needs a number")),
    "path without quotes": ("a: out/x\nb: 1", (1, 7, "/", "ND0101", "stands in quotes")),
    "round brackets": ("a ( b: 1", (1, 3, "(", "ND0105", "unexpected `(`")),
    "sign in a name": ("na@me: 1 b: 2", (1, 3, "@", "ND0105", "unexpected `@`")),
    "plus": ("a: +1 b: 2", (1, 4, "+", "ND0105", "unexpected `+`")),
    "letter": ("größe: 1", (1, 1, "größe", "ND0105", "outside ASCII")),
    "no-break space": ("a:\u00a01", (1, 3, "\u00a0", "ND0105", "U+00A0")),
    "foreign comment": ("// a: 1\nb: 1", (1, 1, "// a: 1", "ND0105", "comments start with `#`")),
    "missing colons": (
        'a 1\nb "x"\nc MAX',
        (1, 3, "1", "ND0106", "expected `:` between `a` and its value"),
        (2, 3, '"x"', "ND0106", "`b`"),
        (3, 3, "MAX", "ND0106", "`c`"),
    ),
    "missing colon before list": ("a [1, 2]", (1, 3, "[", "ND0106", "`a`")),
    "missing value": ("a:\nb: 1", (1, 2, ":", "ND0107", "`a` has no value after its `:`")),
    "missing value in block": ("l { a: }", (1, 6, ":", "ND0107", "`a` has no value")),
    "name alone": ("l {\n a\n b { c: 1 }\n}", (2, 2, "a", "ND0107", "`a` has no value")),
    "extension alone": ("[x.y]", (1, 1, "[x.y]", "ND0107", "`[x.y]` has no value")),
    "missing brace": ("l\n  a: 1\n  b: 2\n}\nc: 3", (1, 1, "l", "ND0107", "expected `{` behind `l`")),
    "sign before a colon": ("a ] : 1", (1, 3, "]", "ND0101", "unexpected `]`")),
    "sign before a value": ("a: } 1", (1, 4, "}", "ND0101", "unexpected `}`")),
    "missing item": ("a: [,1]", (1, 5, ",", "ND0107", "no value before this comma")),
    "open block": ("l { a: 1", (1, 9, "", "ND0108", "`{` is never closed")),
    "open blocks": ("a {b {c {", (1, 10, "", "ND0108", "never closed, and 2 more around it")),
    "open list": ("l { a: [1, 2 }\nb: 3", (1, 14, "}", "ND0108", "the list is not closed")),
    "open list before field": ("l { a: [1, b: 3 }", (1, 12, "b", "ND0108", "the list is not closed")),
    "open name": ("[x.: 1\nb: 2", (1, 4, ":", "ND0108", "not finished")),
    "too many closed": ("a: 1 }\nb: 2 ]", (1, 6, "}", "ND0109", "closes nothing"), (2, 6, "]", "ND0109", "")),
    "mixed brackets": ("l < a: 1 } b: 2", (1, 10, "}", "ND0110", "`<` is closed by `}`, expected `>`")),
    "list without comma": ("a: [1 2]", (1, 7, "2", "ND0111", "expected `,`")),
    "list with semicolon": ("a: [1; 2]", (1, 6, ";", "ND0111", "found `;`")),
    "comma at the end": ("a: [1,]", (1, 6, ",", "ND0111", "must not end with a comma")),
    "binary": ("\x01\x02 a: 1", (1, 1, "\x01\x02", "ND0114", "no text")),
    "one of each": (
        'layer {\n  name: "conv\n  type "ReLU"\n  pad: 08\n  top:\n}\nlayer {\n  a = 1\n}}\n',
        (2, 9, '"conv', "ND0102", ""),
        (3, 8, '"ReLU"', "ND0106", ""),
        (4, 8, "08", "ND0104", ""),
        (5, 6, ":", "ND0107", ""),
        (8, 5, "=", "ND0105", ""),
        (9, 2, "}", "ND0109", ""),
    ),
}


def _check(text: str) -> tuple[Diagnostic, ...]:
    result = parse(Source("x", text))
    assert print_document(result.document) == text
    return result.diagnostics


@pytest.mark.parametrize(("text", "expected"), [(c[0], c[1:]) for c in CASES.values()], ids=CASES)
def test_each_mistake_once(text: str, expected: tuple[tuple[int, int, str, str, str], ...]) -> None:
    found = [(d.span.line, d.span.column, d.span.text, d.code, d.message) for d in _check(text) if d.span]
    assert [f[:4] for f in found] == [e[:4] for e in expected]
    assert all(e[4] in f[4] for f, e in zip(found, expected, strict=True))


def test_what_follows_a_mistake_is_read() -> None:
    document = parse(Source("x", "a: 1 2 b: 3\nc d: [4\ne: 5")).document
    assert [field.key for field in document.fields] == ["a", "b", "c", "d", "e"]


def test_second_label_is_the_opening_bracket() -> None:
    (found,) = _check("l < a: 1 }")
    assert [(label.span.start, label.text) for label in found.labels] == [(2, "opened here")]


@pytest.mark.parametrize(
    ("text", "line"),
    [("l {\n  a: 1\nl {\n  b: 2\n}\n", 1), ("l {\n  p {\n    a: 1\n}\nl {\n  b: 1\n}\n", 2)],
    ids=["outer", "inner"],
)
def test_indentation_shows_what_is_not_closed(text: str, line: int) -> None:
    (found,) = _check(text)
    assert found.help == (f"going by the indentation, it is the `{{` of line {line} that lacks its end",)


FIXES = {
    "colon": ("a 1\nb [2]", "a: 1\nb: [2]"),
    "equals": ("a = 1", "a : 1"),
    "comma": ("a: [1 2]", "a: [1, 2]"),
    "semicolon": ("a: [1; 2]", "a: [1, 2]"),
    "comma at the end": ("a: [1, ]", "a: [1 ]"),
    "bracket": ("l < a: 1 }", "l < a: 1 >"),
    "quotes": ("a: \u201cfoo\u201d", 'a: "foo"'),
    "space": ("a:\u00a01", "a: 1"),
    "touching": ("a: 1b: 2", "a: 1 b: 2"),
    "comment": ("// c\na: 1", "# c\na: 1"),
    "separators": ("a: 1;;", "a: 1;"),
}


@pytest.mark.parametrize(("text", "mended"), FIXES.values(), ids=FIXES)
def test_fixes_mend(text: str, mended: str) -> None:
    source = Source("x", text)
    assert apply_fixes(source, parse(source).diagnostics) == mended
    assert parse(Source("x", mended)).diagnostics == ()


def test_too_many_mistakes_end_it() -> None:
    found = _check("a 1\n" * 100)
    assert len(found) == 51
    assert (found[-1].code, found[-1].severity) == ("ND0113", Severity.NOTE)


@pytest.mark.parametrize(
    "text",
    ["a{" * 10_000, "a<" * 10_000 + ">" * 10_000, "a{" * 101 + "}" * 101, "a:" + "[" * 10_000, "a:[" + "{a:[" * 5000],
    ids=["open", "closed", "one too many", "lists", "lists of messages"],
)
def test_deep_nesting_is_one_mistake(text: str) -> None:
    assert len(_check(text)) == 1


def test_as_deep_as_protobuf_allows() -> None:
    assert _check("a{" * 100 + "}" * 100) == ()


SIZE = 10_000_000
HUGE = {
    "one string": ('a: "' + "x" * SIZE + '"', 0),
    "open string": ('a: "' + "x " * (SIZE // 2), 1),
    "spaces in a string": ('a: "' + " " * SIZE, 1),
    "a comment": ("#" * SIZE, 0),
    "foreign comments": ("/* " * (SIZE // 3), 1),
    "digits": ("1" * SIZE, 1),
    "junk": ("@ %" * (SIZE // 3), 2),
    "words": ("a " * (SIZE // 2), 51),
    "quotes": ('"' * SIZE, 2),
    "opening": ("{" * SIZE, 2),
    "closing": ("}" * SIZE, 51),
    "minus": ("-" * SIZE, 2),
    "zero bytes": ("\0" * SIZE, 1),
}


@pytest.mark.parametrize(("text", "count"), HUGE.values(), ids=HUGE)
def test_ten_megabytes_on_a_line(text: str, count: int) -> None:
    start = time.perf_counter()
    assert len(_check(text)) == count
    assert time.perf_counter() - start < 10


@pytest.mark.slow
def test_more_fields_than_any_net() -> None:
    found = _check("a:1 " * 200_000)
    assert [d.code for d in found] == ["ND0115", "ND0113"]


def test_where_a_bracket_lacks_its_end_is_guessed_in_a_line_of_megabytes() -> None:
    (found,) = _check("a {" + "b { } " * 100_000)
    assert found.code == "ND0108"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("a: 1 2", "several values go in a list"),
        ("a: 0,5", "a decimal number has a point"),
        ("l { # one\r  a: 1 }\r", "the lines end in CR alone"),
        ("a ( b: 1 )", "a block stands in { }"),
    ],
)
def test_advice(text: str, advice: str) -> None:
    assert any(advice in line for d in _check(text) for line in d.help)


def test_a_name_of_megabytes_is_not_repeated() -> None:
    assert max(len(d.message) for d in _check("x" * 10_000)) < 200
