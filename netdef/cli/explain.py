"""`netdef explain`: what a diagnostic's code means, and how to mend what it found."""

from __future__ import annotations

from difflib import get_close_matches

import click

from netdef.diagnostics.codes import Page, pages


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
    known: dict[str, Page] = pages()
    near = get_close_matches(_normal(code), known, n=1, cutoff=0)
    hint = f"; the nearest is {near[0]}: {known[near[0]].title}" if near else ""
    return f"there is no code {code!r}{hint}"
