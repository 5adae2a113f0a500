"""Where does one token end and the next begin: a text cut up so that nothing of it is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from netdef.diagnostics import Source, Span
from netdef.text.cst import Token, TokenKind
from netdef.text.escapes import faults
from netdef.text.grammar import parser

# White space and comments, which go with the token after them. A byte order mark may open a file.
_LEADING = r"(?P<leading>(?:\A\ufeff)?(?:[ \t\r\n\f\v]++|\#[^\n]*+)*+)"

# What is no token, by the type of the token that it was probably meant to be; in this order. SKIP is left out
# without harm to what stands around it, JUNK is not. Every repetition is possessive or short: no text is slow.
_FOREIGN_COMMENT = ("SKIP", r"//[^\n]*+|/\*(?s:.*?)(?:\*/|\Z)")
_BROKEN = (
    ("SKIP", r"[^\S \t\r\n\f\v]++|[\u200b-\u200f\ufeff]++"),
    ("COLON", r"[=\uff1a]"),
    ("IDENTIFIER", r"[^\W\d]\w*+"),
    ("INTEGER", r"[0-9]++(?=[A-Za-z_]\w*+\s*+[:{<])|\.?[0-9](?:[eE][+-](?=[0-9])|[\w.])*+"),
    (
        "STRING",
        r"[\u201c\u201d\u201e][^\u201c\u201d\u201e\n\"]*+[\u201c\u201d\u201e\"]|[\u2018\u2019][^\u2018\u2019\n']*+[\u2018\u2019']",
    ),
    ("STRING", r"[\"'](?:[ \t]*+(?![}\]>]{1,4}[ \t]{0,8}\r?(?:\n|\Z))\S)*+"),
    ("JUNK", r"[^\s\w\"'{}<>\[\]:;,.=/#\u201c\u201d\u201e\u2018\u2019-]++|[\s\S]"),
)

_KINDS = {
    "IDENTIFIER": TokenKind.IDENTIFIER,
    "STRING": TokenKind.STRING,
    "INTEGER": TokenKind.INTEGER,
    "FLOAT": TokenKind.FLOAT,
    "$END": TokenKind.END,
}


def tokens(source: Source) -> Iterator[Token]:
    """The tokens of a text, the end of the file last (type ``$END``).

    What is no token comes with the kind ERROR and the type that it was probably meant to have, or JUNK.
    """
    pattern, types = _scanner()
    for match in pattern.finditer(source.text):
        kind, type_ = types[match.lastindex or 0]
        leading, text = match.group(1, match.lastindex or 0)
        end = match.end()
        if kind is TokenKind.STRING and "\\" in text and faults(text):
            kind = TokenKind.ERROR
        yield Token(kind, text, Span(source, end - len(text), end), leading, type_)
        if kind is TokenKind.END:
            return


@cache
def _scanner() -> tuple[re.Pattern[str], list[tuple[TokenKind, str]]]:
    """One pattern that matches white space and then a token everywhere, and what each of its groups stands for."""
    right = [(_KINDS.get(t.name, TokenKind.SYMBOL), t.name, t.pattern.to_regexp()) for t in parser().terminals]
    comment, *wrong = [(TokenKind.ERROR, name, pattern) for name, pattern in (_FOREIGN_COMMENT, *_BROKEN)]
    known = [comment, *right, (TokenKind.END, "$END", r"\Z"), *wrong]
    pattern = re.compile(_LEADING + "(?:" + "|".join(f"({p})" for _, _, p in known) + ")")
    return pattern, [(TokenKind.ERROR, "JUNK")] * 2 + [(kind, name) for kind, name, _ in known]
