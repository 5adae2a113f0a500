"""The lossless tree of a protobuf text: every character of the file is in exactly one token or its leading trivia."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netdef.diagnostics import Source, Span


class TokenKind(Enum):
    """What a token is."""

    IDENTIFIER = "identifier"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    SYMBOL = "symbol"
    ERROR = "error"
    END = "end of file"


@dataclass(frozen=True, slots=True)
class Token:
    """One token, with the white space and comments between the token before it and itself.

    A token that an upgrade invents has the text it stands for, and the span of what it came from. `type` is
    the grammar's name for it, which only the parser looks at. A token that is missing in the file has the kind
    ERROR and no text.
    """

    kind: TokenKind
    text: str
    span: Span
    leading: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of one kind: an optional ``-`` and a number or identifier, or one or more adjacent strings."""

    tokens: tuple[Token, ...]

    @property
    def span(self) -> Span:
        """From the first token to the last."""
        return self.tokens[0].span.to(self.tokens[-1].span)


@dataclass(frozen=True, slots=True)
class Message:
    """``{ … }`` or ``< … >`` and the fields in it."""

    open: Token
    fields: tuple[Field, ...]
    close: Token

    @property
    def span(self) -> Span:
        """From the opening bracket to the closing one."""
        return self.open.span.to(self.close.span)


@dataclass(frozen=True, slots=True)
class ListValue:
    """``[ … ]``, the shorthand for a repeated field; `commas` stand between the items."""

    open: Token
    items: tuple[Scalar | Message, ...]
    commas: tuple[Token, ...]
    close: Token

    @property
    def span(self) -> Span:
        """From the opening bracket to the closing one."""
        return self.open.span.to(self.close.span)


@dataclass(frozen=True, slots=True)
class Field:
    """A name, a colon (may be missing before a message or a list of messages), a value, an optional ``;`` or ``,``.

    `name` is one identifier, or the tokens of an extension or Any name with its brackets.
    """

    name: tuple[Token, ...]
    colon: Token | None
    value: Scalar | Message | ListValue
    separator: Token | None

    @property
    def span(self) -> Span:
        """From the name to the end of the value."""
        return self.name[0].span.to(self.value.span)

    @property
    def key(self) -> str:
        """The name as text, without white space (``[a.b]`` for an extension)."""
        return "".join(token.text for token in self.name)

    @property
    def name_span(self) -> Span:
        """The characters of the name."""
        return self.name[0].span.to(self.name[-1].span)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file; `end` holds the white space and comments after the last token.

    `stray` are the tokens that a syntax error left outside every field, for printing; a file without
    syntax errors has none.
    """

    source: Source
    fields: tuple[Field, ...]
    end: Token
    stray: tuple[Token, ...] = ()
