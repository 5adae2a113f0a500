"""How are pieces of a tree made out of others, so that they keep the places that they came from?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from netdef.diagnostics import Span
from netdef.text.cst import Field, ListValue, Message, Scalar, Token, TokenKind
from netdef.text.escapes import unescape
from netdef.text.printer import field_tokens


def renamed(field: Field, name: str) -> Field:
    """The field under another name, at the same place."""
    token = field.name[0]
    return replace(field, name=(replace(token, text=name),))


def before(field: Field, leading: str) -> Field:
    """The field with other white space and comments in front of it."""
    return replace(field, name=(replace(field.name[0], leading=leading), *field.name[1:]))


def spaced(field: Field) -> Field:
    """The field with at least a blank in front, so that it may follow anything."""
    return field if field.name[0].leading else before(field, " ")


def with_value(field: Field, value: Scalar | Message | ListValue) -> Field:
    """The field with another value."""
    return replace(field, value=value)


def with_token(field: Field, scalar: Scalar, kind: TokenKind, text: str) -> Field:
    """The field with one token for a value, in the place of `scalar`."""
    token = Token(kind, text, scalar.span, scalar.tokens[0].leading)
    return replace(field, value=Scalar((token,)))


def entry(name: str, origin: Field, value: Scalar) -> Field:
    """A field `name: value` on the same line; its name is at the place of `origin`'s."""
    span = origin.name_span
    first = replace(value.tokens[0], leading=" ")
    colon = origin.colon or Token(TokenKind.SYMBOL, ":", span)
    return Field((Token(TokenKind.IDENTIFIER, name, span, " "),), colon, Scalar((first, *value.tokens[1:])), None)


def block(name: str, span: Span, fields: Iterable[Field], leading: str, closing: str) -> Field:
    """A field `name { fields }`, with `leading` in front of the name and `closing` in front of the brace."""
    opened = Token(TokenKind.SYMBOL, "{", span, " ")
    message = Message(opened, tuple(fields), Token(TokenKind.SYMBOL, "}", span, closing))
    return Field((Token(TokenKind.IDENTIFIER, name, span, leading),), None, message, None)


def values(message: Message, name: str) -> list[tuple[Field, Scalar]]:
    """Every scalar given for `name`, of lists too, with the field that gives it."""
    found = []
    for field in message.fields:
        if field.key == name:
            items = field.value.items if isinstance(field.value, ListValue) else (field.value,)
            found += [(field, item) for item in items if isinstance(item, Scalar)]
    return found


def text(scalar: Scalar) -> str:
    """What a scalar says: a string's characters, a number or word as written."""
    if all(token.kind is TokenKind.STRING for token in scalar.tokens):
        return b"".join(unescape(token.text) for token in scalar.tokens).decode("utf-8", "replace")
    return "".join(token.text for token in scalar.tokens)


def first_text(message: Message, name: str) -> str:
    """What the first scalar given for `name` says; empty where there is none."""
    return next((text(scalar) for _, scalar in values(message, name)), "")


def keep_comments(old: Field, new: Field) -> Field:
    """`new` with those comments of `old` that it has lost in front of it."""
    kept = {token.leading for token in field_tokens(new)}
    lost = [token.leading for token in field_tokens(old) if "#" in token.leading and token.leading not in kept]
    return before(new, above(lost, new.name[0].leading)) if lost else new


def above(comments: Iterable[str], leading: str) -> str:
    """White space and comments with further comments above them, a line each."""
    lines = [line.strip() for comment in comments for line in comment.splitlines()]
    indent = leading.rpartition("\n")[2]
    extra = "".join(f"{line}\n{indent}" for line in lines if line)
    head = leading[: len(leading) - len(indent)]
    return f"{head or _break(leading)}{indent}{extra}" if extra else leading


def comments(field: Field) -> Iterator[str]:
    """The white space of a field's tokens that holds comments."""
    return (token.leading for token in field_tokens(field) if "#" in token.leading)


def _break(leading: str) -> str:
    return "\n" if leading else ""
