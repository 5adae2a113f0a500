"""Does the formatter write what a careful person would?"""

from __future__ import annotations

from pathlib import Path

import pytest

from netdef.diagnostics import Source
from netdef.schema.netdef_pb2 import NetParameter, SolverParameter
from netdef.text import format_document, parse
from netdef.text.cst import Document
from netdef.text.printer import field_tokens

CORPUS = Path(__file__).parents[2] / "../shared/corpus/dev"

LONG = "x" * 40
CASES = {
    "empty": ("", ""),
    "only blank": (" \n\n\t\n", ""),
    "only comment": ("#a", "#a\n"),
    "one field a line": ("a:1 b:2", "a: 1\nb: 2\n"),
    "separators": ("a:1;b:2,c{d:3,e:4;},", "a: 1\nb: 2\nc { d: 3 e: 4 }\n"),
    "brackets": ("a: < b: < > >", "a { b {} }\n"),
    "block": ("a{\nb:1}", "a {\n  b: 1\n}\n"),
    "empty block": ("a {\n\n}", "a {}\n"),
    "empty block with comment": ("a {\n# c\n}", "a {\n  # c\n}\n"),
    "colon": ("a : {b:1}", "a { b: 1 }\n"),
    "quotes": ("""a: 'x' b: 'say "x"' c: "it's" """, """a: "x"\nb: 'say "x"'\nc: "it's"\n"""),
    "minus": ("a: - 1 b: -\ninf", "a: -1\nb: -inf\n"),
    "name": ("[ a . b / c ] : 1", "[a.b/c]: 1\n"),
    "short message": (f"a {{ b: '{LONG}' c: '{LONG}' }}", f'a {{ b: "{LONG}" c: "{LONG}" }}\n'),
    "long message": (
        f"a {{ b: '{LONG}' c: '{LONG}' d: 123456 }}",
        f'a {{\n  b: "{LONG}"\n  c: "{LONG}"\n  d: 123456\n}}\n',
    ),
    "list": ("a:[1,2 ,3]b[{c:1},<>]", "a: [1, 2, 3]\nb: [{ c: 1 }, {}]\n"),
    "list on lines": ("a: [\n1,\n2\n]", "a: [1, 2]\n"),
    "long list": (
        f"a: [{', '.join(['1234567'] * 14)}]",
        f"a: [\n  {'1234567, ' * 10}1234567,\n  1234567, 1234567, 1234567\n]\n",
    ),
    "list with comments": ("a: [1, # one\n2 # two\n]", "a: [\n  1,  # one\n  2  # two\n]\n"),
    "list of blocks": ("a: [{\nb:1},{c:2}]", "a: [\n  {\n    b: 1\n  },\n  { c: 2 }\n]\n"),
    "strings": ('a: "x" "y"', 'a: "x" "y"\n'),
    "strings on lines": ('a: "x"\n"y"', 'a: "x"\n  "y"\n'),
    "blank lines": ("\n\na: 1\n\n\nb: 2\nc: 3\n\n\n", "a: 1\n\nb: 2\nc: 3\n"),
    "blank lines in block": ("a {\n\nb: 1\n\n\nc: 2\n\n}", "a {\n  b: 1\n\n  c: 2\n}\n"),
    "comment behind": ("a: 1#x  \nb: 2   # y", "a: 1  #x\nb: 2  # y\n"),
    "comment behind bracket": ("a{# x\nb:1}# y", "a {  # x\n  b: 1\n}  # y\n"),
    "comments between": ("# h\n\n# i\na: 1\n  # j\nb: 2", "# h\n\n# i\na: 1\n# j\nb: 2\n"),
    "comments at end": ("a {\nb: 1\n# x\n\n# y\n}\n\n# z", "a {\n  b: 1\n  # x\n\n  # y\n}\n\n# z\n"),
    "comment inside a field": ("a # x\n: # y\n1", "# x\n# y\na: 1\n"),
    "comment before separator": ("a: 1 # x\n; # y\nb: 2", "a: 1  # x\n# y\nb: 2\n"),
    "line breaks": ("a: 1\r\nb{\r\nc: 2}\r\n", "a: 1\r\nb {\r\n  c: 2\r\n}\r\n"),
    "byte order mark": ("\ufeffa:1", "a: 1\n"),
}  # fmt: skip


def _document(text: str) -> Document:
    result = parse(Source("x", text))
    assert result.diagnostics == ()
    return result.document


@pytest.mark.parametrize(("text", "formatted"), CASES.values(), ids=CASES)
def test_style(text: str, formatted: str) -> None:
    assert format_document(_document(text)) == formatted
    assert format_document(_document(formatted)) == formatted


def _comments(document: Document) -> list[str]:
    tokens = [*(t for field in document.fields for t in field_tokens(field)), document.end]
    pieces = (piece.strip("\ufeff \t\r\v\f") for token in tokens for piece in token.leading.split("\n"))
    return [piece for piece in pieces if piece]


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus here")
def test_corpus() -> None:
    from google.protobuf import text_format

    for path in sorted(p for p in CORPUS.rglob("*") if p.suffix in {".prototxt", ".pbtxt"}):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        document = _document(text)
        formatted = format_document(document)
        again = _document(formatted)
        assert format_document(again) == formatted, path
        assert _comments(again) == _comments(document), path
        kind = SolverParameter if "solver" in path.name else NetParameter
        try:
            before = text_format.Parse(text, kind(), allow_unknown_field=True)
        except text_format.ParseError:
            continue  # not of today's schema
        assert text_format.Parse(formatted, kind(), allow_unknown_field=True) == before, path
