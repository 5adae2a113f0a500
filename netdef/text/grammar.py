"""The grammar file made ready: the parser's tables, and the pieces of the tree that each rule builds."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, Transformer
from lark.lexer import Lexer

from netdef.text.cst import Field, ListValue, Message, Scalar, Token


class _NoLexer(Lexer):
    """Lark's own lexers drop white space and comments; lexer.py makes the tokens and hands them in."""

    def __init__(self, conf: object) -> None: ...

    def lex(self, *_: Any) -> Any:
        raise NotImplementedError


class _Tree(Transformer[Token, list[Field]]):
    """One function a rule: from what its parts became to what it becomes."""

    def document(self, parts: list[Any]) -> Any:
        return parts[0]

    separator = value = block = item = plain = document

    def empty(self, parts: list[Any]) -> Any:
        return []

    def append(self, parts: list[Any]) -> Any:
        parts[0].append(parts[1])
        return parts[0]

    def field(self, parts: list[Any]) -> Any:
        return Field(parts[0], parts[1], parts[2], parts[3] if len(parts) == 4 else None)

    def bare_field(self, parts: list[Any]) -> Any:
        return Field(parts[0], None, parts[1], parts[2] if len(parts) == 3 else None)

    def name(self, parts: list[Any]) -> Any:
        return (parts[0],)

    def extension(self, parts: list[Any]) -> Any:
        return (parts[0], *parts[1], parts[2])

    def first(self, parts: list[Any]) -> Any:
        return parts

    def more(self, parts: list[Any]) -> Any:
        parts[0].extend(parts[1:])
        return parts[0]

    def message(self, parts: list[Any]) -> Any:
        return Message(parts[0], tuple(parts[1]), parts[2])

    def empty_list(self, parts: list[Any]) -> Any:
        return ListValue(parts[0], (), (), parts[1])

    def full_list(self, parts: list[Any]) -> Any:
        return ListValue(parts[0], tuple(parts[1][::2]), tuple(parts[1][1::2]), parts[2])

    def scalar(self, parts: list[Any]) -> Any:
        return Scalar(tuple(parts[0]))

    def one(self, parts: list[Any]) -> Any:
        return Scalar((parts[0],))

    def negative(self, parts: list[Any]) -> Any:
        return Scalar((parts[0], parts[1]))


@cache
def parser() -> Lark:
    """The LALR(1) tables of prototxt.lark; a token's `type` is all that they look at."""
    return Lark(
        Path(__file__).with_name("prototxt.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer=_NoLexer,
        start="document",
        transformer=_Tree(),
        keep_all_tokens=True,
        maybe_placeholders=False,
    )
