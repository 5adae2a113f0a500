"""What is wrong with characters that make no token, or a broken one?"""

from __future__ import annotations

import re

from netdef.diagnostics import Diagnostic, Edit, Fix, Label, Span, error
from netdef.text.cst import Token
from netdef.text.escapes import faults


def explain(token: Token) -> Diagnostic:
    """The diagnostic of a token of kind ERROR."""
    return _EXPLAINED[token.type](token)


def _string(token: Token) -> Diagnostic:
    quote = token.text[0]
    if quote not in "\"'":
        return _typographic(token)
    if len(token.text) > 1 and token.text[-1] == quote and (found := faults(token.text)):
        return _escapes(token, found)
    if len(token.text) == 1 and _touches_a_word(token):
        message, hint = "a closing quote without an opening one", "put the same quote before the value"
        return error("ND0102", message, span=token.span, help=hint)
    hint = f"close it with {quote} on the same line; a long text can stand in several strings, one after the other"
    return error("ND0102", "the string is not closed on its line", span=token.span, help=hint)


def _touches_a_word(token: Token) -> bool:
    before = token.span.source.text[token.span.start - 1 : token.span.start]
    return before.isalnum() or before == "_"


def _typographic(token: Token) -> Diagnostic:
    message = "typographic quotes around a string"
    plain = Fix("use plain quotes", (Edit(token.span, f'"{token.text[1:-1]}"'),))
    return error("ND0102", message, span=token.span, help="use plain quotes, \" or '", fix=plain)


def _escapes(token: Token, found: list[tuple[int, int, str]]) -> Diagnostic:
    places = [_part(token, start, end) for start, end, _ in found]
    message = f"`{places[0].text}` {found[0][2]}"
    labels = tuple(Label(place, f"{problem}") for place, (_, _, problem) in zip(places[1:], found[1:], strict=True))
    hint = r"a backslash itself is written `\\`; in paths use `/`"
    return error("ND0103", message, span=places[0], labels=labels, help=hint)


def _part(token: Token, start: int, end: int) -> Span:
    return Span(token.span.source, token.span.start + start, token.span.start + end)


def _number(token: Token) -> Diagnostic:
    text, span = token.text, token.span
    following = span.source.text[span.end : span.end + 1]
    if following.isalpha() or following == "_":
        message = f"the number `{text}` and the name after it need a space between them"
        fix = Fix("insert a space", (Edit(Span(span.source, span.end, span.end), " "),))
        return error("ND0104", message, span=span, fix=fix)
    if re.fullmatch(r"0[0-9]+", text):
        digit = next(d for d in text if d in "89")
        message = f"`{text}` starts with 0, so it is octal, and {digit} is no octal digit"
        decimal = text.lstrip("0")
        return error("ND0104", message, span=span, help=f"write `{decimal}` if it is decimal")
    if re.fullmatch(r"0[xX]\w*", text):
        return error("ND0104", f"`{text}` is no hexadecimal number", span=span, help="0x, then 0 to 9 and a to f")
    hint = "numbers look like `3`, `-0.5`, `1e-4` or `0x1F`; text goes in quotes"
    return error("ND0104", f"`{text[:40]}` is no number", span=span, help=hint)


def _name(token: Token) -> Diagnostic:
    hint = "names are made of a to z, A to Z, 0 to 9 and `_`; other text goes in quotes"
    return error("ND0105", f"the name `{token.text[:40]}` has letters outside ASCII", span=token.span, help=hint)


def _equals(token: Token) -> Diagnostic:
    fix = Fix("replace by `:`", (Edit(token.span, ":"),))
    return error("ND0105", f"`{token.text}` is not used here, expected `:`", span=token.span, fix=fix)


def _skipped(token: Token) -> Diagnostic:
    text, span = token.text, token.span
    if text.startswith("/"):
        end = 2 if text.startswith("//") else None
        fix = Fix("use `#`", (Edit(Span(span.source, span.start, span.start + 2), "#"),)) if end else None
        return error("ND0105", f"comments start with `#`, not `{text[:2]}`", span=span, fix=fix)
    names = " ".join(f"U+{ord(c):04X}" for c in text[:4])
    fix = Fix("replace by a space", (Edit(span, " "),))
    return error("ND0105", f"an invisible character that is no plain space ({names})", span=span, fix=fix)


def _junk(token: Token) -> Diagnostic:
    text = token.text
    shown = text if text.isprintable() and len(text) <= 20 else " ".join(f"U+{ord(c):04X}" for c in text[:4])
    if any(c < " " or "\ud800" <= c <= "\udfff" for c in text):
        hint = "is this a binary file, a .caffemodel say? A prototxt is plain text in UTF-8"
        return error("ND0114", f"bytes that are no text ({shown} …)", span=token.span, help=hint)
    hint = "text goes in quotes, a comment starts with `#`"
    if text[0] in "()":
        hint = "a block stands in { }, a list in [ ]"
    return error(
        "ND0105", f"unexpected `{shown}`" if text.isprintable() else f"unexpected {shown}", span=token.span, help=hint
    )


_EXPLAINED = {
    "STRING": _string,
    "INTEGER": _number,
    "IDENTIFIER": _name,
    "COLON": _equals,
    "SKIP": _skipped,
    "JUNK": _junk,
}
