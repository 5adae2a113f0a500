"""Does a run display and test what `caffe train` logged?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netdef.solver import events as ev
from netdef.solver.events import Displayed, Event
from netdef.solver.log import lines
from netdef.solver.loop import Solver

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = [c for c in json.loads((GOLDEN / "index.json").read_text()) if c["category"] == "logs"]
DIGITS = {"rtol": 2e-5, "atol": 2e-6}
"""The log has six significant digits."""


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_log(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN / case["dir"])
    want = np.load("case.npz")
    events: list[Event] = []
    with Solver("solver.prototxt", weights=["init.caffemodel"], observers=[events.append]) as solver:
        solver.solve()
    shown = [e for e in events if isinstance(e, Displayed)]
    rated = [e for e in shown if e.rate is not None]
    tested = [e for e in events if isinstance(e, ev.Tested)]
    assert [e.iteration for e in shown] == list(want["log.iter"])
    assert [e.iteration for e in rated] == list(want["log.lr_iter"])
    assert [e.iteration for e in tested] == list(want["log.test_iter"])
    np.testing.assert_allclose([e.loss for e in shown], want["log.loss"], **DIGITS)
    np.testing.assert_allclose([e.rate for e in rated], want["log.lr"], **DIGITS)
    for kind, found in (("train", rated), ("test", tested)):
        for key in (key for key in want.files if key.startswith(f"log.{kind}.")):
            values = [value(e, key.removeprefix(f"log.{kind}.")) for e in found]
            np.testing.assert_allclose(values, want[key], **DIGITS, err_msg=key)


def value(event: Any, key: str) -> float | None:
    """What an event says of an output, or of the total loss of a test."""
    return event.loss if key == "_test_loss" else next(o.mean for o in event.outputs if o.name == key)


@pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])
def test_order_and_outputs_of_a_test(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs come in the order of Caffe's log, a display after the test of the same iteration."""
    monkeypatch.chdir(GOLDEN / case["dir"])
    said: list[str] = []
    with Solver("solver.prototxt", weights=["init.caffemodel"], observers=[lambda e: said.extend(lines(e))]) as solver:
        solver.solve()
    logged = Path("train.log").read_text().splitlines()
    assert names(said) == names(logged)


def names(log: list[str]) -> list[str]:
    """What is said about when, without numbers; Caffe's line of the rate is part of ours of the loss."""
    kept = [
        line for line in log if line.startswith(("Iteration", "Test loss", "    Test net")) and ", lr =" not in line
    ]
    ours = [line for line in log if ", lr = " in line and "loss" in line]
    return [line.split(" = ")[0].split(":")[0] for line in log if line in kept or line in ours]
