"""Has every code its page, and every page its code?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netdef
from netdef.diagnostics import Source
from netdef.diagnostics.codes import pages
from netdef.graph import Options
from netdef.report.check import check_source
from netdef.text import parse

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


def _examples(code: str) -> list[str]:
    """The indented pieces of a page, without their indent."""
    blocks = re.findall(r"(?:^    .*\n)(?:(?:^    .*)?\n)*", pages()[code].text + "\n", re.MULTILINE)
    return ["\n".join(line[4:] for line in block.splitlines()) for block in blocks]


TEXT = [code for code in pages() if code.startswith("ND01") and _examples(code)]
GRAPH = ["ND0301", *(f"ND03{n:02}" for n in (3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 17))]


@pytest.mark.parametrize("code", TEXT)
def test_an_example_of_a_wrong_text_is_wrong(code: str) -> None:
    found = {d.code for example in _examples(code) for d in parse(Source("example", example)).diagnostics}
    assert code in found


@pytest.mark.parametrize("code", GRAPH)
def test_an_example_of_a_wrong_net_is_wrong_in_nothing_else(code: str) -> None:
    """With the blobs x and y for it to read, images of 112 rows and columns."""
    (example,) = _examples(code)
    shape = "input_param { shape { dim: 2 dim: 3 dim: 112 dim: 112 } }"
    net = "".join(f'layer {{ name: "{name}" type: "Input" top: "{name}" {shape} }}\n' for name in "xy") + example
    assert {d.code for d in check_source(Source("net", net), Options(phase="TRAIN")).diagnostics} == {code}
