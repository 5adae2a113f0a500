"""Can programs read what we found: JSON, SARIF, GitHub's annotations?"""

from __future__ import annotations

import json
from typing import Any

from netdef.diagnostics import Diagnostic, Edit, Fix, Label, Severity, Source, Span, error, warning
from netdef.diagnostics.render import github, sarif
from netdef.diagnostics.render import json as json_form

SOURCE = Source("models/my net.prototxt", "a: 1\nb 2\n")
FULL = error(
    "ND0106",
    "expected `:`",
    span=Span(SOURCE, 7, 8),
    label="here",
    labels=(Label(Span(SOURCE, 0, 1), "there"),),
    help=("one", "two"),
    fix=Fix("insert a colon", (Edit(Span(SOURCE, 6, 6), ":"),)),
)
BARE = warning("ND0999", "100%, a:b\nc")


def test_json() -> None:
    start, end = {"line": 2, "column": 3, "offset": 7}, {"line": 2, "column": 4, "offset": 8}
    place = {"file": "models/my net.prototxt", "start": start, "end": end}
    full, bare = json.loads(json_form.render([FULL, BARE]))["diagnostics"]
    assert full["place"] == place
    assert (full["severity"], full["code"], full["message"]) == ("error", "ND0106", "expected `:`")
    assert (full["label"], full["help"], full["labels"][0]["text"]) == ("here", ["one", "two"], "there")
    assert full["fix"]["edits"][0]["replacement"] == ":"
    assert full["fix"]["edits"][0]["place"]["start"] == {"line": 2, "column": 2, "offset": 6}
    assert (bare["severity"], bare["place"], bare["fix"], bare["labels"]) == ("warning", None, None, [])


def test_json_of_nothing() -> None:
    assert json.loads(json_form.render([])) == {"version": 1, "diagnostics": []}


def _log(*diagnostics: Diagnostic) -> Any:
    return json.loads(sarif.render(diagnostics))


def test_sarif() -> None:
    log = _log(FULL, BARE, FULL)
    (run,) = log["runs"]
    assert (log["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "netdef")
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["ND0106", "ND0999"]
    assert [result["ruleIndex"] for result in run["results"]] == [0, 1, 0]
    assert [result["level"] for result in run["results"]] == ["error", "warning", "error"]


def test_sarif_places() -> None:
    result = _log(FULL)["runs"][0]["results"][0]
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "models/my%20net.prototxt"}
    assert physical["region"] == {"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 4}
    assert result["relatedLocations"][0]["message"] == {"text": "there"}
    change = result["fixes"][0]["artifactChanges"][0]
    assert change["replacements"][0]["insertedContent"] == {"text": ":"}
    assert "locations" not in _log(BARE)["runs"][0]["results"][0]


def test_sarif_absolute_path() -> None:
    source = Source("/a b/c.prototxt", "x")
    log = _log(error("ND0101", "m", span=Span(source, 0, 1)))
    location = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": "file:///a%20b/c.prototxt"}


def test_github() -> None:
    note = Diagnostic(Severity.NOTE, "ND0113", "m", Span(Source("a,b:c", "x\ny\n"), 0, 3))
    assert github.render([FULL, BARE, note]).splitlines() == [
        (
            "::error file=models/my net.prototxt,line=2,endLine=2,col=3,endColumn=4,title=ND0106"
            "::expected `:`%0Ahere%0Ahelp: one%0Ahelp: two"
        ),
        "::warning title=ND0999::100%25, a:b%0Ac",
        "::notice file=a%2Cb%3Ac,line=1,endLine=2,title=ND0113::m",
    ]
