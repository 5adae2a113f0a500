"""How does a tree become text again? Every token with what stood before it: the file, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

from netdef.text.cst import Document, Field, ListValue, Message, Scalar, Token


def print_document(document: Document) -> str:
    """The text of the tree; `print_document(parse(source).document) == source.text` for every source."""
    found = [token for field in document.fields for token in field_tokens(field)]
    if document.stray:
        found = sorted((*found, *document.stray), key=lambda token: (token.span.start, token.span.end))
    return "".join(token.leading + token.text for token in (*found, document.end))


def field_tokens(field: Field) -> Iterator[Token]:
    """The tokens of a field, in the order of the text."""
    yield from field.name
    if field.colon:
        yield field.colon
    yield from value_tokens(field.value)
    if field.separator:
        yield field.separator


def value_tokens(value: Scalar | Message | ListValue) -> Iterator[Token]:
    """The tokens of a value, in the order of the text."""
    if isinstance(value, Scalar):
        yield from value.tokens
        return
    yield value.open
    if isinstance(value, Message):
        for field in value.fields:
            yield from field_tokens(field)
    else:
        for index, item in enumerate(value.items):
            yield from value_tokens(item)
            yield from value.commas[index : index + 1]
    yield value.close
