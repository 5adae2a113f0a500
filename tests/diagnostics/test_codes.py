"""Has every code its page, and every page its code?"""

from __future__ import annotations

import re
from pathlib import Path

import netdef
from netdef.diagnostics.codes import pages

PACKAGE = Path(next(iter(netdef.__path__)))
CODES = PACKAGE / "diagnostics" / "codes"


def _used() -> dict[str, str]:
    """Every code in the package's source, but for the pages, and a file that has it."""
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if CODES not in path.parents:
            for code in re.findall(r"ND\d{4}", path.read_text(encoding="utf-8")):
                found.setdefault(code, str(path.relative_to(PACKAGE)))
    return found


def test_every_code_has_a_page() -> None:
    missing = [f"{code} ({file})" for code, file in sorted(_used().items()) if code not in pages()]
    assert not missing, ", ".join(missing)


def test_every_page_has_a_use() -> None:
    unused = sorted(pages().keys() - _used().keys())
    assert not unused, ", ".join(unused)


def test_pages_can_be_read_in_a_terminal() -> None:
    bad = {
        page.code
        for page in pages().values()
        if not page.title or not page.text.strip() or max(map(len, page.text.splitlines())) > 160
    }
    assert bad == set()


def test_codes_stand_in_their_range() -> None:
    assert all(re.fullmatch(r"ND(0[0-9]|10)\d\d", code) for code in pages())
