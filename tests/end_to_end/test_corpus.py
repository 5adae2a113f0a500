"""Real files: those of BVLC's Caffe pass every stage, and for the others the diagnostics name what is foreign.

Which fields and types are foreign, the corpus's manifest tells: it was made by protobuf with BVLC's own schema.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from netdef.layers import registry
from tests.corpus import Journey, travel

CORPUS = Path(__file__).parents[2].parent / "shared/corpus/dev"
PLACEHOLDERS = re.compile(r"cls\d+x")
"""Templates have words where numbers will be; they parse with no schema."""

pytestmark = [pytest.mark.corpus, pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")]


@cache
def manifest() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((CORPUS / "manifest.json").read_text())
    return [e for e in entries if e["kind"] in ("net", "legacy-net", "solver") and (CORPUS / e["file"]).is_file()]


@cache
def checked(file: str) -> Journey:
    return travel(CORPUS / file, build=False)


def foreign_types(entry: dict[str, Any]) -> set[str]:
    """The types that are neither BVLC's of today, nor names in capitals, which the schema of 2014 judges.

    The padding layers of 2013 go into the layer behind them.
    """
    return {kind for kind in entry["layer_types"] if kind not in {*registry(), "Padding"} and kind != kind.upper()}


def is_bvlc(entry: dict[str, Any]) -> bool:
    return "bvlc" in entry["parses_with"] and not foreign_types(entry)


def test_the_manifest_is_there():
    assert len(manifest()) > 450
    assert sum(map(is_bvlc, manifest())) > 280


def test_files_of_bvlc_pass_the_check():
    failed = {e["file"]: checked(e["file"]).errors for e in manifest() if is_bvlc(e) and checked(e["file"]).errors}
    assert failed == {}


def test_what_is_foreign_is_named():
    """As many files as protobuf refuses, and in each the same fields and values, neither more nor fewer."""
    for entry in manifest():
        if "bvlc" not in entry["parses_with"]:
            assert named(checked(entry["file"])) == _foreign_fields(entry), entry["file"]


def test_foreign_types_are_named():
    for entry in manifest():
        journey = checked(entry["file"])
        if "bvlc" in entry["parses_with"] and foreign_types(entry):
            found = {d.message.split('"')[1] for d in journey.errors}
            assert {d.code for d in journey.errors} == {"ND0301"}
            assert found == foreign_types(entry), entry["file"]


def test_most_of_what_is_foreign_has_a_home():
    errors = [d for e in manifest() for d in checked(e["file"]).errors if d.code in ("ND0201", "ND0301", "ND0220")]
    homeless = {d.message for d in errors if not re.search(r"is of ", "".join(d.help))}
    assert homeless <= {"NetParameter has no field `item`"}


@pytest.mark.slow
def test_files_of_bvlc_are_built_and_exported():
    """All nets that state their sizes."""
    stopped = []
    for entry in manifest():
        if is_bvlc(entry) and entry["kind"] != "solver":
            journey = travel(CORPUS / entry["file"])
            if journey.stopped_at:
                stopped.append((entry["file"], journey.stopped_at, [d.code for d in journey.errors]))
    assert stopped == []


def named(journey: Journey) -> set[str]:
    """The fields and values that diagnostics call foreign, as the manifest writes them."""
    found = set()
    for d in journey.errors:
        if field := re.match(r"(\w+) has no field `(\w+)`", d.message):
            found.add(field[2])
        elif value := re.match(r"`(\w+)` has no value `(\w+)`", d.message):
            found.add(f"{value[1]}={value[2]}")
        elif kind := re.match(r"`layers` knows no type (\w+)", d.message):
            found.add(f"type={kind[1]}")
        else:
            assert PLACEHOLDERS.search(d.message), d.message
    return found


def _foreign_fields(entry: dict[str, Any]) -> set[str]:
    """The last part of each path whose way there is known: what is in an unknown block is not looked at."""
    paths = set(entry["not_in_bvlc"])
    outer = {path for path in paths if path.rpartition(".")[0] not in paths}
    return {path.rpartition(".")[2] for path in outer}
