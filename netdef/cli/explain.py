"""`netdef explain`: what a diagnostic's code means, and how to mend what it found."""

from __future__ import annotations

from operator import ne

import click

from netdef.diagnostics.codes import pages


@click.command("explain")
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Tell what CODE means, with an example and its cure; without CODE, list all codes."""
    click.echo(_page(code) if code else "\n".join(f"{page.code}  {page.title}" for page in pages().values()))


def _page(code: str) -> str:
    page = pages().get(_normal(code))
    if page is None:
        raise click.BadParameter(_unknown(code), param_hint="CODE")
    return f"{page.code}: {page.title}\n\n{page.text.rstrip()}"


def _normal(code: str) -> str:
    """The code as it is printed, from ``nd0304``, ``error[ND0304]:``, ``0304`` or ``304``."""
    digits = "".join(c for c in code if c in "0123456789")
    return f"ND{digits:0>4}"


def _unknown(code: str) -> str:
    near = min(pages().values(), key=lambda page: _distance(page.code, _normal(code)))
    return f"there is no code {code!r}; the nearest is {near.code}: {near.title}"


def _distance(one: str, other: str) -> tuple[int, int]:
    """How many characters differ, then how far the numbers are apart."""
    return sum(map(ne, one, other)) + abs(len(one) - len(other)), abs(int(one[2:]) - int(other[2:]))
