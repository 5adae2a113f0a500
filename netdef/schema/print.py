"""What text says a message? As a person would have written it, in the style of `netdef.text.format`."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from netdef.text.format import MAX_WIDTH

_PRINTABLE = range(32, 127)
_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t"}


def print_message(message: Any) -> str:
    """The fields that are set, in the order of their numbers; an empty line between messages at the top.

    A message inside another one stands on one line where it has one field, or lies two levels deep, and fits.
    `Any`, because protobuf's messages have no common type that tells their fields.
    """
    lines: list[str] = []
    for field, value in _fields(message):
        block = list(_field(field, value, 0))
        if lines and (len(block) > 1 or lines[-1] == "}"):
            lines.append("")
        lines += block
    return "".join(f"{line}\n" for line in lines)


def _field(field: Any, value: Any, level: int) -> Iterator[str]:
    margin = "  " * level
    if field.message_type is None:
        yield f"{margin}{field.name}: {_scalar(field, value)}"
        return
    flat = f"{margin}{field.name} {_flat(value)}"
    inside = list(_fields(value))
    if (level > 1 or (level and len(inside) <= 1)) and len(flat) <= MAX_WIDTH:
        yield flat
        return
    yield f"{margin}{field.name} {{"
    for inner, item in inside:
        yield from _field(inner, item, level + 1)
    yield f"{margin}}}"


def _flat(message: Any) -> str:
    parts = [
        f"{field.name}: {_scalar(field, value)}" if field.message_type is None else f"{field.name} {_flat(value)}"
        for field, value in _fields(message)
    ]
    return f"{{ {' '.join(parts)} }}" if parts else "{}"


def _fields(message: Any) -> Iterator[tuple[Any, Any]]:
    """Each value of each field that is set."""
    for field, value in message.ListFields():
        for item in value if field.is_repeated else (value,):
            yield field, item


def _scalar(field: Any, value: Any) -> str:
    if field.enum_type is not None:
        found = field.enum_type.values_by_number.get(value)
        return str(found.name) if found else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | bytes):
        return _quoted(value)
    if isinstance(value, float):
        return _float(value, single=field.type == field.TYPE_FLOAT)
    return str(value)


def _quoted(value: str | bytes) -> str:
    if isinstance(value, str):
        return '"' + "".join(_ESCAPES.get(ord(c), c if c.isprintable() else _bytes(c.encode())) for c in value) + '"'
    return '"' + "".join(_ESCAPES.get(b, chr(b) if b in _PRINTABLE else _bytes(bytes([b]))) for b in value) + '"'


def _bytes(value: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in value)


def _float(value: float, *, single: bool) -> str:
    """The shortest decimal that is read back as the same number."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    digits = next(
        (n for n in range(1, 9) if single and _as_single(float(f"{value:.{n}g}")) == value), 17 if not single else 9
    )
    text = f"{value:.{digits}g}" if single else repr(value)
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else text.removesuffix(".0")


def _as_single(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float("inf")
