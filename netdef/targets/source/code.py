"""Python expressions on their way to text: flat where they fit on a line, broken at their brackets where not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WIDTH = 120
"""Columns of a line, as in netdef's own files, whose functions are inlined."""


@dataclass(frozen=True, slots=True)
class Group:
    """A bracket with items inside: ``head`` up to the opening bracket, ``tail`` from the closing one on."""

    head: str
    items: tuple[Code, ...]
    tail: str


@dataclass(frozen=True, slots=True)
class Infix:
    """``left op right``."""

    left: Code
    op: str
    right: Code


Code = str | Group | Infix


def call(function: str, items: Iterable[Code]) -> Group:
    """``function(items)``."""
    return Group(f"{function}(", tuple(items), ")")


def row(items: Iterable[Code], brackets: str = "()") -> Group:
    """A tuple or list; a tuple of one has its comma."""
    items = tuple(items)
    return Group(brackets[0], items, f",{brackets[1]}" if brackets == "()" and len(items) == 1 else brackets[1])


def keyword(name: str, code: Code) -> Code:
    """``name=code``."""
    if isinstance(code, Group):
        return Group(f"{name}={code.head}", code.items, code.tail)
    return f"{name}={flat(code)}"


def atom(code: Code) -> str:
    """The code, in parentheses where an operator or a method after it would part it."""
    return f"({flat(code)})" if isinstance(code, Infix) else flat(code)


def flat(code: Code) -> str:
    """The code on one line."""
    if isinstance(code, str):
        return code
    if isinstance(code, Infix):
        return f"{atom(code.left)} {code.op} {atom(code.right)}"
    return f"{code.head}{', '.join(map(flat, code.items))}{code.tail}"


def lines(code: Code, indent: int, *, before: str = "", after: str = "") -> Iterator[str]:
    """The lines of a statement or an item: whole, else its items on one line, else each on its own."""
    margin = " " * indent
    whole = f"{margin}{before}{flat(code)}{after}"
    if len(whole) <= WIDTH or not isinstance(code, Group) or not code.items:
        yield whole
        return
    yield f"{margin}{before}{code.head}"
    comma = "," if code.tail.startswith(",") else ""
    inner = f"{margin}    {', '.join(map(flat, code.items))}{comma}"
    if len(inner) <= WIDTH:
        yield inner
    else:
        for item in code.items:
            yield from lines(item, indent + 4, after=",")
    yield f"{margin}{code.tail.lstrip(',')}{after}"


def text(value: str) -> str:
    """A string literal in double quotes."""
    return repr(value) if '"' in value else f'"{repr(chr(39) + value)[2:-1]}"'
