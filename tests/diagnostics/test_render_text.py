"""Does a diagnostic look as people know it from rustc?"""

from __future__ import annotations

import re

import pytest

from netdef.diagnostics import Diagnostic, Edit, Fix, Label, Source, Span, error, warning
from netdef.diagnostics.render.text import render


def _span(source: Source, text: str, number: int = 0) -> Span:
    start = [m.start() for m in re.finditer(re.escape(text), source.text)][number]
    return Span(source, start, start + len(text))


NET = Source("train_val.prototxt", "\n" * 83 + '  bottom: "pool1"\n\n\n\n  bottom: "conv2"\n')
CLASH = error(
    "ND0304",
    "Eltwise inputs differ at axis 2: 57 and 56",
    span=_span(NET, '"conv2"'),
    label="64x1x56x56",
    labels=(Label(_span(NET, '"pool1"'), '64x1x57x57, from Pooling "pool1" (line 41: kernel 3, stride 2, rounds up)'),),
    help='Caffe\'s pooling rounds up; set `round_mode: FLOOR` in "pool1" to round down',
)
FAR = Source("far", "a: 1\n" + "\n" * 20 + "b: 2\n")
TABS = Source("tabs", '\ta:\t"日本" b\n')
TWO = Source("two", "bottom: x bottom: y\n")
OTHER = Source("net.prototxt", "name: 1\n")
BROAD = Source("broad", "layer {\n a: 1\n}\n")

CASES: dict[str, tuple[Diagnostic, str]] = {
    "two places": (
        CLASH,
        """\
error[ND0304]: Eltwise inputs differ at axis 2: 57 and 56
  --> train_val.prototxt:88:11
   |
84 |   bottom: "pool1"
   |           ------- 64x1x57x57, from Pooling "pool1" (line 41: kernel 3, stride 2, rounds up)
88 |   bottom: "conv2"
   |           ^^^^^^^ 64x1x56x56
   = help: Caffe's pooling rounds up; set `round_mode: FLOOR` in "pool1" to round down
""",
    ),
    "no place": (
        error("ND0010", "no such file: a", help=("one", "two\nthree")),
        "error[ND0010]: no such file: a\n  = help: one\n  = help: two\n          three\n",
    ),
    "gap": (
        warning("ND0399", "far", span=_span(FAR, "b"), labels=(Label(_span(FAR, "a"), "here"),)),
        """\
warning[ND0399]: far
  --> far:22:1
   |
 1 | a: 1
   | - here
...
22 | b: 2
   | ^
""",
    ),
    "tabs and wide characters": (
        error("ND0101", "m", span=_span(TABS, '"日本"'), label="x", labels=(Label(_span(TABS, "b"), "y"),)),
        """\
error[ND0101]: m
 --> tabs:1:5
  |
1 |     a:  "日本" b
  |         ^^^^^^ x
  |                - y
""",
    ),
    "two on a line": (
        error("ND0101", "m", span=_span(TWO, "y"), label="y", labels=(Label(_span(TWO, "x"), "x"),)),
        """\
error[ND0101]: m
 --> two:1:19
  |
1 | bottom: x bottom: y
  |         - x
  |                   ^ y
""",
    ),
    "two files": (
        error("ND0101", "m", span=_span(TWO, "x"), labels=(Label(_span(OTHER, "name"), "here"),)),
        """\
error[ND0101]: m
 --> two:1:9
  |
1 | bottom: x bottom: y
  |         ^
 ::: net.prototxt:1:1
  |
1 | name: 1
  | ---- here
""",
    ),
    "several lines": (
        error("ND0101", "m", span=Span(BROAD, 0, 16)),
        "error[ND0101]: m\n --> broad:1:1\n  |\n1 | layer {\n  | ^^^^^^^\n",
    ),
    "end of file": (
        error("ND0108", "m", span=Span(TWO, 20, 20)),
        "error[ND0108]: m\n --> two:2:1\n  |\n2 |\n  | ^\n",
    ),
    "fix": (
        error("ND0106", "m", fix=Fix("insert a colon", (Edit(_span(TWO, "x"), ":"),))),
        "error[ND0106]: m\n  = fix: insert a colon (with --fix)\n",
    ),
    "control characters": (error("ND0114", "a\x1b[2J\udcff"), "error[ND0114]: a\ufffd[2J\ufffd\n"),
}


@pytest.mark.parametrize(("diagnostic", "text"), CASES.values(), ids=CASES)
def test_text(diagnostic: Diagnostic, text: str) -> None:
    assert render([diagnostic]) == text


def test_empty_line_between() -> None:
    assert render([error("ND0001", "a"), error("ND0002", "b")]) == "error[ND0001]: a\n\nerror[ND0002]: b\n"
    assert render([]) == ""


def test_long_lines_are_cut_around_the_place() -> None:
    source = Source("x", "a: 1 " * 1000 + "HERE " + "b: 2 " * 1000)
    *_, line, underline = render([error("ND0101", "m", span=_span(source, "HERE"))]).splitlines()
    assert len(line) < 140
    assert line.startswith("1 | …")
    assert line.endswith("…")
    assert line[underline.index("^") : underline.rindex("^") + 1] == "HERE"


def test_long_span_is_cut() -> None:
    source = Source("x", 'a: "' + "x" * 10_000)
    assert max(map(len, render([error("ND0102", "m", span=Span(source, 3, 10_004))]).splitlines())) < 140


def test_colour_only_when_asked() -> None:
    plain, coloured = render([CLASH]), render([CLASH], color=True)
    assert "\x1b" not in plain
    assert "\x1b[1;31merror[ND0304]\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
