"""What bytes does a quoted string stand for, and which of its escapes are none?"""

from __future__ import annotations

import re

_SIMPLE = {
    "a": b"\a", "b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v",
    "?": b"?", "\\": b"\\", "'": b"'", '"': b'"',
}  # fmt: skip

_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})"
    r"|u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<simple>[abfnrtv?\\'\"])|(?P<bad>.?))",
    re.DOTALL,
)


def unescape(literal: str) -> bytes:
    r"""The bytes of a string token (with its quotes): UTF-8 for characters, single bytes for ``\n``, ``\x``, ``\0``.

    Every escape of the token must be one (`faults` finds none).
    """
    inner = literal[1:-1]
    if "\\" not in inner:
        return inner.encode("utf-8", "surrogateescape")
    parts: list[bytes] = []
    position = 0
    for match in _ESCAPE.finditer(inner):
        parts += (inner[position : match.start()].encode("utf-8", "surrogateescape"), _value(match))
        position = match.end()
    return b"".join((*parts, inner[position:].encode("utf-8", "surrogateescape")))


def faults(literal: str) -> list[tuple[int, int, str]]:
    """Start and end within the token, and what is wrong, of each escape in it that is none."""
    found = []
    for match in _ESCAPE.finditer(literal, 1):
        if problem := _problem(match):
            found.append((match.start(), max(match.end(), match.start() + 1), problem))
    return found


def _problem(match: re.Match[str]) -> str:
    if match["bad"] is not None:
        wanted = {"x": "one or two hex digits", "X": "one or two hex digits"}
        wanted |= {"u": "four hex digits", "U": "eight hex digits"}
        needs = wanted.get(match["bad"])
        return f"needs {needs} after it" if needs else "is no escape"
    if match["octal"] and int(match["octal"], 8) > 255:
        return "is more than a byte holds (377)"
    if digits := match["short"] or match["long"]:
        if 0xD800 <= int(digits, 16) <= 0xDFFF:
            return "is half of a surrogate pair, no character"
        if int(digits, 16) > 0x10FFFF:
            return "is past the last character of Unicode (10FFFF)"
    return ""


def _value(match: re.Match[str]) -> bytes:
    if match["simple"]:
        return _SIMPLE[match["simple"]]
    if match["octal"]:
        return bytes([int(match["octal"], 8)])
    if match["hex"]:
        return bytes([int(match["hex"], 16)])
    if match["high"]:  # the two halves of one character
        high, low = int(match["high"], 16), int(match["low"], 16)
        return chr(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00).encode("utf-8")
    return chr(int(match["short"] or match["long"], 16)).encode("utf-8")
