"""Does `netdef explain` find the page that is meant?"""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from netdef.cli.explain import command
from netdef.diagnostics.codes import pages


@pytest.mark.parametrize("code", ["ND0106", "nd0106", "0106", "106", "error[ND0106]:"])
def test_page(code: str) -> None:
    result = CliRunner().invoke(command, [code])
    assert result.exit_code == 0
    assert result.stdout.startswith("ND0106: a colon is missing before a value\n\nBetween a name and")


def test_list() -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 0
    assert [line[:6] for line in result.stdout.splitlines()] == list(pages())


@pytest.mark.parametrize("code", ["ND9106", "0199", "rubbish", "1234567890"])
def test_unknown(code: str) -> None:
    result = CliRunner().invoke(command, [code])
    assert result.exit_code == 2
    assert "there is no code" in result.stderr


def test_nearest() -> None:
    assert "the nearest is ND0106" in CliRunner().invoke(command, ["ND9106"]).stderr
