"""What does a text look like when written well? One style for all files; comments stay, no meaning changes."""

from __future__ import annotations

from collections.abc import Iterable

from netdef.text.cst import Document, Field, ListValue, Message, Scalar, Token
from netdef.text.printer import value_tokens

MAX_WIDTH = 100
"""Columns that a message or list on one line may take."""


def format_document(document: Document) -> str:
    """The document (one without syntax errors) in the style of well-written Caffe files.

    Two spaces a level; ``name: value`` and ``name {``, one field a line; a message that stood on one line stays on
    it if it fits in 100 columns; at most one empty line between fields; ``{}`` for ``<>``, no separators, double
    quotes where no double quote is inside; every comment in its place. Formatting twice changes nothing more.
    """
    writer = _Writer()
    for field in document.fields:
        writer.field(field, 0)
    writer.trivia(document.end, 0)
    line_break = "\r\n" if "\r\n" in document.source.text else "\n"
    return "".join(line + line_break for line in writer.finished())


class _Writer:
    """The lines so far."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._takes_comment = False  # whether the last line may get a comment at its end

    def finished(self) -> list[str]:
        """All lines, without empty ones at the end."""
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        return self._lines

    def field(self, field: Field, level: int) -> None:
        """Write a field, after the comments before and inside it."""
        first, *others = _head(field)
        self.trivia(first, level)
        for token in others:
            self._hoist(token, level)
        self._value(_name(field), field.value, level)
        if field.separator:
            self.trivia(field.separator, level, keep_blank=False)

    def trivia(self, token: Token, level: int, *, keep_blank: bool = True) -> None:
        """Write the comments before a token: the first at the end of the last line if it stood there."""
        same_line, *below = token.leading.lstrip("\ufeff").split("\n")
        if comment := same_line.strip():
            self._attach(comment, level)
        for piece in below[:-1]:
            if comment := piece.strip():
                self._line(level, comment, takes_comment=False)
            elif keep_blank:
                self._blank()
        if below and (comment := below[-1].strip()):  # the last line of a file without a line break
            self._line(level, comment, takes_comment=False)

    def _hoist(self, token: Token, level: int) -> None:
        """Write the comments inside a field on lines before it."""
        for piece in token.leading.split("\n"):
            if comment := piece.strip():
                self._line(level, comment, takes_comment=False)

    def _attach(self, comment: str, level: int) -> None:
        if self._takes_comment:
            self._lines[-1] += f"  {comment}"
            self._takes_comment = False
        else:
            self._line(level, comment, takes_comment=False)

    def _line(self, level: int, text: str, *, takes_comment: bool = True) -> None:
        self._lines.append("  " * level + text)
        self._takes_comment = takes_comment

    def _blank(self) -> None:
        """One empty line, unless there is one, or a block has just begun."""
        if self._lines and self._lines[-1] and not self._opens_block():
            self._lines.append("")
            self._takes_comment = False

    def _opens_block(self) -> bool:
        code = self._lines[-1].split("#", 1)[0].rstrip()
        return code.endswith(("{", "["))

    def _value(self, name: str, value: Scalar | Message | ListValue, level: int, after: str = "") -> None:
        """Write a value behind `name` (with its colon if it needs one), and `after` behind the value."""
        flat = name + _flat(value) + after
        if _stood_on_one_line(value) and (isinstance(value, Scalar) or len(flat) + 2 * level <= MAX_WIDTH):
            self._line(level, flat)
        elif isinstance(value, Message):
            self._message(name, value, level, after)
        elif isinstance(value, ListValue):
            self._list(name, value, level, after)
        else:
            self._strings(name, value, level, after)

    def _message(self, name: str, message: Message, level: int, after: str) -> None:
        self._line(level, f"{name}{{")
        for field in message.fields:
            self.field(field, level + 1)
        self._close(message.close, "}" + after, level)

    def _list(self, name: str, values: ListValue, level: int, after: str) -> None:
        if all(isinstance(item, Scalar) for item in values.items) and not _has_comment(values):
            self._wrapped(name, [_flat(item) for item in values.items], level, after)
            return
        self._line(level, f"{name}[")
        for index, item in enumerate(values.items):
            comma = values.commas[index : index + 1]
            first, *others = _item_head(item)
            self.trivia(first, level + 1)
            for token in others:
                self._hoist(token, level + 1)
            self._value("", item, level + 1, "," if comma else "")
            for token in comma:
                self.trivia(token, level + 1, keep_blank=False)
        self._close(values.close, "]" + after, level)

    def _wrapped(self, name: str, items: list[str], level: int, after: str) -> None:
        """Write a list of scalars, as many on a line as fit."""
        flat = f"{name}[{', '.join(items)}]{after}"
        if len(flat) + 2 * level <= MAX_WIDTH or not items:
            self._line(level, flat)
            return
        self._line(level, f"{name}[")
        line = ""
        for index, item in enumerate(items):
            piece = item + ("," if index + 1 < len(items) else "")
            if line and len(line) + 1 + len(piece) + 2 * level + 2 > MAX_WIDTH:
                self._line(level + 1, line)
                line = piece
            else:
                line = f"{line} {piece}".lstrip()
        self._line(level + 1, line)
        self._line(level, "]" + after)

    def _strings(self, name: str, value: Scalar, level: int, after: str) -> None:
        """Write adjacent strings under each other, each with its comment."""
        for index, token in enumerate(value.tokens):
            if index:
                self.trivia(token, level + 1, keep_blank=False)
            ends = after if index + 1 == len(value.tokens) else ""
            self._line(level + bool(index), (name if not index else "") + _text(token) + ends)

    def _close(self, token: Token, text: str, level: int) -> None:
        self.trivia(token, level + 1)
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        self._line(level, text)


def _head(field: Field) -> list[Token]:
    """The tokens of a field before what stands on lines of their own: comments among them move before it."""
    colon = [field.colon] if field.colon else []
    return [*field.name, *colon, *_item_head(field.value)]


def _item_head(value: Scalar | Message | ListValue) -> list[Token]:
    if not isinstance(value, Scalar):
        return [value.open]
    negative = value.tokens[0].text == "-"
    return list(value.tokens if negative else value.tokens[:1])


def _name(field: Field) -> str:
    return f"{field.key} " if isinstance(field.value, Message) else f"{field.key}: "


def _flat(value: Scalar | Message | ListValue) -> str:
    """The value on one line."""
    if isinstance(value, Scalar):
        texts = [_text(token) for token in value.tokens]
        return ("" if texts[0] == "-" else " ").join(texts)
    if isinstance(value, ListValue):
        return f"[{', '.join(_flat(item) for item in value.items)}]"
    return f"{{ {' '.join(_name(f) + _flat(f.value) for f in value.fields)} }}" if value.fields else "{}"


def _text(token: Token) -> str:
    """The token, in double quotes if it is a string with none inside."""
    if token.text[:1] == "'" and '"' not in token.text:
        return f'"{token.text[1:-1]}"'
    return token.text


def _inner(value: Scalar | Message | ListValue) -> Iterable[Token]:
    tokens = value_tokens(value)
    next(tokens)
    return tokens


def _stood_on_one_line(value: Scalar | Message | ListValue) -> bool:
    if isinstance(value, Scalar) and value.tokens[0].text == "-":
        return True
    if isinstance(value, Message) and not value.fields:
        return "#" not in value.close.leading
    return not any("\n" in token.leading or "#" in token.leading for token in _inner(value))


def _has_comment(value: ListValue) -> bool:
    return any("#" in token.leading for token in _inner(value))
