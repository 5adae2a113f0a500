"""Which value do these tokens stand for, and what is wrong where they stand for none?"""

from __future__ import annotations

import re
from collections.abc import Callable

from netdef.diagnostics import Diagnostic, Edit, Fix, Label, Span, error
from netdef.schema.rules import FieldRule, names_by_number
from netdef.schema.suggest import certain, nearest
from netdef.text.cst import ListValue, Message, Scalar, Token, TokenKind
from netdef.text.escapes import unescape

Value = int | float | bool | str | bytes

_IDENTIFIER, _STRING = TokenKind.IDENTIFIER, TokenKind.STRING
_INTEGER, _FLOAT = TokenKind.INTEGER, TokenKind.FLOAT
_BOOLS = {"true": True, "t": True, "True": True, "false": False, "f": False, "False": False}
_YES = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_WORDS = {
    "float": "a number",
    "bool": "true or false",
    "string": "a text in quotes",
    "bytes": "bytes in quotes",
    "message": "a block `{ … }`",
}
_NOT_FINITE = re.compile(r"(?P<number>inf(?:inity)?|nan)f?", re.IGNORECASE)
_FAR = 1000  # characters of a line that are looked at
_TOUCHING = re.compile(r"(?:[./:-]*\w)*")
_BARE = (
    (_INTEGER, re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")),
    (_FLOAT, re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?")),
    (_IDENTIFIER, re.compile(r"[A-Za-z_][A-Za-z0-9_]*")),
)


class Refused(Exception):
    """The tokens stand for no value of the field."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


def decode(rule: FieldRule, scalar: Scalar) -> Value:
    """The value that `scalar` stands for in a field; raises Refused, as protobuf's own parser would."""
    return _DECODERS[rule.kind](rule, scalar)


def _int(rule: FieldRule, scalar: Scalar) -> int:
    token = scalar.tokens[-1]
    if token.kind is not _INTEGER:
        raise Refused(mismatch(rule, scalar))
    value = integer(token.text)
    if len(scalar.tokens) == 2:
        value = -value
    if not rule.low <= value <= rule.high:
        raise Refused(_out_of_range(rule, scalar))
    return value


def integer(text: str) -> int:
    """A decimal, hex (``0x``) or octal (``0``) number; a huge one may come out as another huge one."""
    if len(text) > 40 and len(text.lstrip("0xX")) > 40:
        return 1 << 128  # out of every range; spares Python's limit on digits
    if text[0] != "0" or text == "0":
        return int(text)
    return int(text, 16) if text[1] in "xX" else int(text, 8)


def _float(rule: FieldRule, scalar: Scalar) -> float:
    token = scalar.tokens[-1]
    text = token.text
    if token.kind is _FLOAT:
        value = float(text.rstrip("fF"))
    # Protobuf takes no octal or hex where a float is due: 010 would be 8 to one reader and 10 to another.
    elif token.kind is _INTEGER and (text[0] != "0" or text == "0"):
        value = float(text)
    elif token.kind is _IDENTIFIER and (found := _NOT_FINITE.fullmatch(text)):
        value = float(found["number"])
    else:
        raise Refused(mismatch(rule, scalar))
    return -value if len(scalar.tokens) == 2 else value


def _bool(rule: FieldRule, scalar: Scalar) -> bool:
    token = scalar.tokens[0]
    if token.kind is _IDENTIFIER and token.text in _BOOLS:
        return _BOOLS[token.text]
    if token.kind is _INTEGER and integer(token.text) in (0, 1):
        return integer(token.text) == 1
    raise Refused(mismatch(rule, scalar))


def _enum(rule: FieldRule, scalar: Scalar) -> int:
    assert rule.enum is not None
    token = scalar.tokens[-1]
    if token.kind is _IDENTIFIER and len(scalar.tokens) == 1:
        if known := rule.enum.values_by_name.get(token.text):
            return known.number
        raise Refused(_unknown_value(rule, scalar))
    if token.kind is not _INTEGER:
        raise Refused(mismatch(rule, scalar))
    value = integer(token.text) * (1 if len(scalar.tokens) == 1 else -1)
    if value not in names_by_number(rule.enum):
        raise Refused(_unknown_value(rule, scalar))
    return value


def _string(rule: FieldRule, scalar: Scalar) -> str:
    tokens = scalar.tokens
    if tokens[0].kind is not _STRING:
        raise Refused(mismatch(rule, scalar))
    if len(tokens) == 1 and "\\" not in tokens[0].text:
        return tokens[0].text[1:-1]
    try:
        return _bytes(rule, scalar).decode()
    except UnicodeDecodeError as fault:
        raise Refused(_not_utf8(rule, scalar, fault.object[fault.start])) from fault


def _bytes(rule: FieldRule, scalar: Scalar) -> bytes:
    if any(token.kind is not _STRING for token in scalar.tokens):
        raise Refused(mismatch(rule, scalar))
    return b"".join(unescape(token.text) for token in scalar.tokens)


_DECODERS: dict[str, Callable[[FieldRule, Scalar], Value]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "enum": _enum,
    "string": _string,
    "bytes": _bytes,
}


def mismatch(rule: FieldRule, scalar: Scalar) -> Diagnostic:
    """ND0202: a value of another kind than the field takes, and what was meant where that is sure."""
    fix = _fix(rule, scalar)
    help_ = f"write `{rule.name}: {fix.edits[0].replacement}`" if fix else _advice(rule)
    return error(
        "ND0202",
        f"`{rule.name}` takes {wanted(rule)}, found {_found(scalar)}",
        span=scalar.span,
        label=f"expected {wanted(rule)}",
        help=help_,
        fix=fix,
    )


def wanted(rule: FieldRule) -> str:
    """What a field takes, in words."""
    if rule.kind == "int":
        return "a whole number of at least 0" if rule.low == 0 else "an integer"
    if rule.kind == "enum":
        return f"one of {_names(rule)}"
    return _WORDS[rule.kind]


def written(value: Scalar | Message | ListValue) -> str:
    """What stands there, in words."""
    if isinstance(value, Scalar):
        return _found(value)
    return "a block" if isinstance(value, Message) else "a list"


def _found(scalar: Scalar) -> str:
    text = _text(scalar)
    shown = text if len(text) <= 40 else text[:37] + "…"
    kinds = {_STRING: "the text", _INTEGER: "the number", _FLOAT: "the number", _IDENTIFIER: "the word"}
    kind = kinds.get(scalar.tokens[-1].kind, "")
    return f"{kind} {shown}" if kind == "the text" else f"{kind} `{shown}`"


def _text(scalar: Scalar) -> str:
    glue = " " if scalar.tokens[0].kind is _STRING else ""
    return glue.join(token.text for token in scalar.tokens)


def _names(rule: FieldRule) -> str:
    assert rule.enum is not None
    return ", ".join(value.name for value in rule.enum.values)


def _advice(rule: FieldRule) -> str | tuple[str, ...]:
    if rule.kind == "float":
        return "decimal numbers only: 0.5, 1e-3, inf"
    return ()


def _fix(rule: FieldRule, scalar: Scalar) -> Fix | None:
    """The same value written as the field wants it, where there is no doubt about it."""
    text = _text(scalar)
    first = scalar.tokens[0]
    if rule.kind in ("string", "bytes"):
        return None if first.kind is _STRING else _quoted(scalar.span)
    if first.kind is _STRING and len(scalar.tokens) == 1:
        return _unquoted(rule, scalar, first)
    if rule.kind == "bool" and text.lower() in _YES:
        return replace("spell it so", scalar.span, _YES[text.lower()])
    if rule.kind == "int" and scalar.tokens[-1].kind is _FLOAT:
        value = float(text.rstrip("fF"))
        if value.is_integer() and rule.low <= value <= rule.high:
            return replace("write it as an integer", scalar.span, str(int(value)))
    return None


def _quoted(span: Span) -> Fix | None:
    """The word in quotes, with what touches it: all of a path, not what stands before its first point.

    A quote behind it may be the second of its two; where it begins a string, nothing is certain.
    """
    rest = _TOUCHING.match(span.source.text, span.end)
    whole = Span(span.source, span.start, rest.end() if rest else span.end)
    line = span.source.text[whole.end : whole.end + _FAR].partition("\n")[0]
    if line[:1] not in ("'", '"'):
        return replace("put it in quotes", whole, f'"{whole.text}"')
    lone = line.count(line[0]) % 2 == 1
    return (
        replace("put it in quotes", whole.to(Span(span.source, whole.end, whole.end + 1)), f'"{whole.text}"')
        if lone
        else None
    )


def _unquoted(rule: FieldRule, scalar: Scalar, token: Token) -> Fix | None:
    inner = token.text[1:-1].strip()
    sign = (Token(TokenKind.SYMBOL, "-", token.span),) if inner.startswith("-") else ()
    bare = inner.removeprefix("-")
    kind = next((kind for kind, pattern in _BARE if pattern.fullmatch(bare)), None)
    if kind is None:
        return None
    try:
        decode(rule, Scalar((*sign, Token(kind, bare, token.span))))
    except (Refused, ValueError):
        return None
    return replace("take the quotes away", scalar.span, inner)


def replace(title: str, span: Span, text: str) -> Fix:
    """The fix that puts `text` in the place of `span`."""
    return Fix(title, (Edit(span, text),))


def _out_of_range(rule: FieldRule, scalar: Scalar) -> Diagnostic:
    return error(
        "ND0205",
        f"`{rule.name}` holds {rule.low} to {rule.high}, found {_found(scalar)}",
        span=scalar.span,
        label="too small" if len(scalar.tokens) == 2 else "too large",
    )


def _unknown_value(rule: FieldRule, scalar: Scalar) -> Diagnostic:
    assert rule.enum is not None
    text = _text(scalar)
    names = [value.name for value in rule.enum.values]
    near, sure = nearest(text, names), certain(text, names)
    return error(
        "ND0204",
        f"`{rule.name}` has no value `{text}`",
        span=scalar.span,
        label=f"did you mean `{near}`?" if near else "",
        help=f"values: {', '.join(names)}",
        fix=replace(f"write {sure}", scalar.span, sure) if sure else None,
    )


def _not_utf8(rule: FieldRule, scalar: Scalar, byte: int) -> Diagnostic:
    return error(
        "ND0208",
        f"`{rule.name}` takes text in UTF-8, which the byte 0x{byte:02x} breaks",
        span=scalar.span,
        help=r"write other characters as they are, or as \u and four hex digits",
    )


def given_twice(rule: FieldRule, second: Span, first: Span) -> Diagnostic:
    """ND0206: a field that takes one value has two."""
    return error(
        "ND0206",
        f"`{rule.name}` is given twice, and takes one value",
        span=second,
        label="given again",
        labels=(Label(first, "first given here"),),
        help="keep one of the two",
    )
