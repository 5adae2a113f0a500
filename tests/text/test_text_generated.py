"""Do we read the same values as protobuf from any text, however it is spelled?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netdef.diagnostics import Source
from netdef.text import format_document, parse, print_document
from netdef.text.cst import Field, ListValue, Message, Scalar
from netdef.text.escapes import unescape

# Pieces of text between tokens; the first must be there where tokens would run together.
GAPS = st.sampled_from([" ", "\n", "\t", "\r\n", "  # why\n", "\n\n\n# a\n  # b {\n", " #\n"])
MAYBE = st.just("") | GAPS
NUMBERS = st.integers(-(2**63), 2**63 - 1)


@st.composite
def integers(draw: st.DrawFn) -> str:
    number = draw(NUMBERS)
    spelled = draw(st.sampled_from(["{:d}", "{:#x}", "0{:o}"])).format(abs(number))
    return f"-{spelled}" if number < 0 else spelled


@st.composite
def floats(draw: st.DrawFn) -> str:
    forms = ["1.", ".5", "1e-4f", "2E+3", "12", "3f", "inf", "nan", "0.25F", "infinity"]
    spelled = draw(st.sampled_from(forms) | st.floats(0, 1e30, allow_nan=False).map(repr))
    return draw(st.sampled_from(["", "-"])) + spelled


@st.composite
def strings(draw: st.DrawFn) -> str:
    quote = draw(st.sampled_from("\"'"))
    # A single quote inside double ones is fine, and the other way round.
    characters = st.sampled_from(["a", "é", "#", "{", "}", " ", "日", r"\n", r"\'", r"\"", r"\\", r"\x41", r"\101"])
    other = "'" if quote == '"' else '"'
    pieces = draw(st.lists(characters | st.just(other), max_size=6))
    return quote + "".join(pieces) + quote


@st.composite
def values(draw: st.DrawFn, name: str, depth: int) -> str:
    if name == "m":
        opening, closing = draw(st.sampled_from(["{}", "<>"]))
        return opening + draw(messages(depth - 1)) + draw(MAYBE) + closing
    scalars = {"i": integers(), "d": floats(), "e": st.sampled_from(["MAX", "AVE", "2"])}
    if name in scalars:
        return draw(scalars[name])
    return draw(MAYBE).join(draw(st.lists(strings(), min_size=1, max_size=3)))


@st.composite
def fields(draw: st.DrawFn, depth: int) -> str:
    name = draw(st.sampled_from("midse" if depth else "idse"))
    if draw(st.integers(0, 4)) == 0:
        items = draw(st.lists(values(name, depth), max_size=3))
        value = "[" + draw(MAYBE) + (draw(MAYBE) + "," + draw(MAYBE)).join(items) + draw(MAYBE) + "]"
        colon = ":"
    else:
        value = draw(values(name, depth))
        colon = draw(st.sampled_from(["", ":"])) if name == "m" else ":"
    separator = draw(MAYBE) + draw(st.sampled_from([" ", "\n", ";", ","]))
    return draw(MAYBE) + name + draw(MAYBE) + colon + draw(MAYBE) + value + separator


@st.composite
def messages(draw: st.DrawFn, depth: int) -> str:
    return "".join(draw(st.lists(fields(depth), max_size=4)))


def _scalar(name: str, value: Scalar) -> Any:
    text = "".join(token.text for token in value.tokens)
    if name == "s":
        return b"".join(unescape(token.text) for token in value.tokens).decode("utf-8")
    if name == "i":
        sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text)
        octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
        return sign * int(digits, 8 if octal else 0)
    if name == "d":
        return float(text.rstrip("fF") if "inf" not in text else text)
    return {"MAX": 0, "AVE": 1}.get(text, 2)


def _flat(found: tuple[Field, ...]) -> dict[str, list[Any]]:
    """All values by name, lists and repetitions joined, as a protobuf message holds them."""
    merged: dict[str, list[Any]] = {}
    for field in found:
        items = field.value.items if isinstance(field.value, ListValue) else (field.value,)
        merged.setdefault(field.key, []).extend(
            _flat(item.fields) if isinstance(item, Message) else _scalar(field.key, item) for item in items
        )
    return {name: items for name, items in merged.items() if items}


def _plain(message: Any) -> dict[str, list[Any]]:
    return {field.name: [_plain(v) if field.name == "m" else v for v in value] for field, value in message.ListFields()}


def _same(one: Any, other: Any) -> bool:
    """Equality in which nan is itself."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or one == other


@settings(deadline=None, max_examples=60)
@given(text=messages(3))
def test_values_are_protobufs(text: str, judge: Callable[[str], Any]) -> None:
    result = parse(Source("x", text))
    assert result.diagnostics == ()
    assert print_document(result.document) == text
    assert _same(_flat(result.document.fields), _plain(judge(text)))


@settings(deadline=None, max_examples=60)
@given(text=messages(3))
def test_formatting_keeps_the_meaning(text: str, judge: Callable[[str], Any]) -> None:
    formatted = format_document(parse(Source("x", text)).document)
    assert _same(_plain(judge(formatted)), _plain(judge(text)))
    assert format_document(parse(Source("x", formatted)).document) == formatted


@settings(deadline=None, max_examples=60)
@given(text=messages(2))
def test_formatting_keeps_every_comment(text: str) -> None:
    """Comments are counted on lines of their own: the texts put one there by construction."""
    formatted = format_document(parse(Source("x", text)).document)
    for comment in ("# why", "# a", "# b {"):
        assert formatted.count(comment) >= text.count(f"{comment}\n"), comment


PIECES = st.sampled_from(
    ["a", "b:", "c {", "}", "<", ">", "[", "]", ",", ";", ":", "1", "-", '"s"', "'t", '"u', "# c\n", "\n", " ", "=",
     "@", "08", "1x", "é", "“q”", "//x\n", "[x.y]", "\\", "\x00", '"\\q"', "/*", "*/", "\u00a0", "\ufeff", "\r"]
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(pieces=st.lists(PIECES, max_size=15))
def test_any_rubbish_is_kept_and_told(pieces: list[str]) -> None:
    text = "".join(pieces)
    result = parse(Source("x", text))
    assert print_document(result.document) == text
    assert all(0 <= d.span.start <= d.span.end <= len(text) for d in result.diagnostics if d.span)
    if not result.diagnostics:
        formatted = format_document(result.document)
        assert parse(Source("x", formatted)).diagnostics == ()
