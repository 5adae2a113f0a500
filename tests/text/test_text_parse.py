"""Is every text that protobuf reads a tree, and does the tree print as the text?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netdef.diagnostics import Source
from netdef.text import parse, print_document
from netdef.text.cst import Field, ListValue, Message, Scalar, TokenKind

CORPUS = Path(__file__).parents[2] / "../shared/corpus/dev"

GOOD = [
    "", "# only a comment", "\n\n", "i:1", "i: 1\r\ni:2", "i\t:\t1", "i:1\x0bi:2\x0c", "i:1 #c\n", "i:1\n\n\n",
    "i:1;i:2,i:3", "m{i:1};", "m:{i:1}", "m<i:1>", "m{}", "m{i:1;}", "m:{i:1},m{}", "m {i : 1 ;}", "m{m<m{m<>}>}",
    "i:[1,2]", "i:[]", "m[]", "m:[]", "m[{},<>]", "m:[{i:1},{}]", 's:["a" "b","c"]',
    "i:0", "i:00", "i:-0", "i:010", "i:-010", "i:0x1F", "i:-0x1f", "i:0X1f", "i:-1",
    "d:1.", "d:.7", "d:-.5", "d:-1.", "d:1e-4f", "d:1e-4F", "d:10f", "d:1.f", "d:1F", "d:1.0e+5", "d:1E5", "d:0.",
    "d:1.5E-5F", "d:0e0", "d:0f", "d:-0", "d:1e400", "d:inf", "d:-nan", "d:infinity", "d:-inff", "d:nanf",
    "e:MAX", "e:1", "o:t", "o:true", "o:1", "o:False",
    's:"a" "b"\'c\'', 's:"a"#c\n"b"', "s:'\"'", 's:"é"', 's:"\t"', 's:"a"i:1', 's:"a"m{i:1}i:2',
    r's:"\101\x41\u00e9\U0001f600\n\t\'\"\\"', r'b:"\377\xff\0"', r's:"\x4"',
]  # fmt: skip

BAD = [
    "i:1;;", "i:1,;i:2", "m<i:1}", "m{i:1>", "i:[1,]", "i[1]", "i:[1 2]", "i:[1;2]", "i:[[1]]", 's:"a\nb"', 's:"a',
    "i:08", "d:08", "d:010.5", "d:00.5", "i:1x", "i:1i:2", "i:10d:2", "d:1.5.5", "d:1e", "d:1e+", "d:.", "d:-.",
    "i:0x", "i:1-2", "i:--1", "i:-", 's:-"a"', "d:1.i:2", r'b:"\777"', r'b:"\400"', r's:"\x"', r's:"\ud83d"',
    r's:"\u12"', r's:"\U00110000"', '"s":"a"', 's "a"', "i 1", "s:", "s", "}", "{", "m{", "m{}}", "m:", "m", "i=1",
    "i:1//c", "i:1/*c*/", "é:1", "s:é", 'i:1"a"', "m{,}", "m{;}", "i::1", "i:1:", "s:“a”", "i:1 2", 's:"\\', "-i:1",
    "i-j:1", r's:"\"',
]  # fmt: skip

# Where the C++ reader, which Caffe uses, and the specification differ from Python's: they are followed.
ONLY_CPP_TAKES = ["d:- 1", "i:-  1", r's:"\ud83d\ude00"', "\ufeffi:1"]
ONLY_PYTHON_TAKES = ["i:+1", "i:1_000", "i:0b11", "i:0o17", "i:\u00a01"]


@pytest.mark.parametrize("text", GOOD, ids=repr)
def test_what_protobuf_takes_is_taken(text: str, judge: Callable[[str], Any]) -> None:
    assert judge(text) is not None
    assert parse(Source("x", text)).diagnostics == ()


@pytest.mark.parametrize("text", BAD, ids=repr)
def test_what_protobuf_refuses_is_refused(text: str, judge: Callable[[str], Any]) -> None:
    assert judge(text) is None
    assert parse(Source("x", text)).diagnostics != ()


@pytest.mark.parametrize("text", ONLY_CPP_TAKES, ids=repr)
def test_more_than_python_takes(text: str, judge: Callable[[str], Any]) -> None:
    assert judge(text) is None
    assert parse(Source("x", text)).diagnostics == ()


@pytest.mark.parametrize("text", ONLY_PYTHON_TAKES, ids=repr)
def test_less_than_python_takes(text: str, judge: Callable[[str], Any]) -> None:
    assert judge(text) is not None
    assert parse(Source("x", text)).diagnostics != ()


@pytest.mark.parametrize("text", GOOD + BAD + ONLY_CPP_TAKES + ONLY_PYTHON_TAKES, ids=repr)
def test_printing_gives_the_text_back(text: str) -> None:
    assert print_document(parse(Source("x", text)).document) == text


def _fields(text: str) -> tuple[Field, ...]:
    result = parse(Source("x", text))
    assert result.diagnostics == ()
    return result.document.fields


def test_names() -> None:
    fields = _fields("a: 1 [b.c]: 2 [ type.googleapis.com / d.E ] {}")
    assert [field.key for field in fields] == ["a", "[b.c]", "[type.googleapis.com/d.E]"]
    assert fields[2].name_span.text == "[ type.googleapis.com / d.E ]"


def test_values() -> None:
    scalar, message, values = (field.value for field in _fields("a: - 1.5 b < c: x > d: ['s' \"t\", { }]"))
    assert isinstance(scalar, Scalar)
    assert [(t.kind, t.text) for t in scalar.tokens] == [(TokenKind.SYMBOL, "-"), (TokenKind.FLOAT, "1.5")]
    assert isinstance(message, Message)
    assert (message.open.text, message.fields[0].key, message.close.text) == ("<", "c", ">")
    assert isinstance(values, ListValue)
    assert [item.span.text for item in values.items] == ["'s' \"t\"", "{ }"]
    assert [comma.text for comma in values.commas] == [","]


def test_spans_and_leading() -> None:
    (field,) = _fields("# head\n a : 12;")
    assert (field.span.text, field.span.line, field.span.column) == ("a : 12", 2, 2)
    assert field.name[0].leading == "# head\n "
    assert field.colon is not None
    assert field.separator is not None
    assert (field.colon.leading, field.separator.text) == (" ", ";")


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus here")
def test_corpus() -> None:
    files = [path for path in CORPUS.rglob("*") if path.suffix in {".prototxt", ".pbtxt"}]
    assert len(files) > 400
    for path in files:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        result = parse(Source(os.fspath(path), text))
        assert result.diagnostics == (), path
        assert print_document(result.document) == text, path
