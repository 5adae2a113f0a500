"""Do diagnostics come out on the right stream, in colour only where it is seen?"""

from __future__ import annotations

import io
import json

import pytest

from netdef.cli.report import FORMATS, show, wants_color
from netdef.diagnostics import error

FOUND = [error("ND0101", "found")]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    show(FOUND)
    assert capsys.readouterr() == ("", "error[ND0101]: found\n")


@pytest.mark.parametrize("form", [f for f in FORMATS if f != "text"])
def test_other_forms_go_to_stdout(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(FOUND, form)
    out, err = capsys.readouterr()
    assert "ND0101" in out
    assert err == ""


def test_json_is_whole_when_nothing_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    show([], "json")
    assert json.loads(capsys.readouterr().out)["diagnostics"] == []


@pytest.mark.parametrize(
    ("variables", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colour(variables: dict[str, str], terminal: bool, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_color(_Terminal() if terminal else io.StringIO()) is expected
