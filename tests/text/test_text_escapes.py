"""What bytes does a string stand for?"""

from __future__ import annotations

import pytest

from netdef.text.escapes import faults, unescape

# By the table of https://protobuf.dev/reference/protobuf/textformat-spec#string
VALUES = {
    '""': b"",
    "'it\"s'": b'it"s',
    '"é日"': "é日".encode(),
    r'"\a\b\f\n\r\t\v\?\\\'\""': b"\x07\x08\x0c\n\r\t\x0b?\\'\"",
    r'"\0\12\1234\377"': b"\0\nS4\xff",
    r'"\x4\X41\x41F"': b"\x04AAF",
    r'"\u00e9\U0001F600"': "é\U0001f600".encode(),
    r'"\ud83d\ude00"': "\U0001f600".encode(),
    '"\udcff"': b"\xff",
}


@pytest.mark.parametrize(("literal", "value"), VALUES.items())
def test_values(literal: str, value: bytes) -> None:
    assert faults(literal) == []
    assert unescape(literal) == value


FAULTS = {
    r'"a\q"': (2, 4, "is no escape"),
    r'"\400"': (1, 5, "is more than a byte holds (377)"),
    r'"\xg"': (1, 3, "needs one or two hex digits after it"),
    r'"\u12"': (1, 3, "needs four hex digits after it"),
    r'"\U0001"': (1, 3, "needs eight hex digits after it"),
    r'"\ud83dx"': (1, 7, "is half of a surrogate pair, no character"),
    r'"\U00110000"': (1, 11, "is past the last character of Unicode (10FFFF)"),
}


@pytest.mark.parametrize(("literal", "fault"), FAULTS.items())
def test_faults(literal: str, fault: tuple[int, int, str]) -> None:
    assert faults(literal) == [fault]
