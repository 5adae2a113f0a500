"""docs/layers.md: is it what the layers' classes say today?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from netdef.report.support import supported

ROOT = Path(__file__).parents[2]


def test_the_page_is_not_stale() -> None:
    """In a process of its own: other tests register layers of theirs."""
    command = [sys.executable, "-m", "netdef.report.support"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, encoding="utf-8")
    assert (ROOT / "docs/layers.md").read_text("utf-8") == made.stdout, "run python -m netdef.report.support"


@pytest.mark.parametrize(
    ("type", "torch", "onnx", "source"),
    [
        ("Convolution", "yes", "yes", "yes"),
        ("SoftmaxWithLoss", "yes", "as Softmax", "yes"),
        ("SigmoidCrossEntropyLoss", "yes", "as Sigmoid", "yes"),
        ("EuclideanLoss", "yes", "as what it judges", "yes"),
        ("InfogainLoss", "yes", "as Softmax", "without files"),
        ("Accuracy", "yes", "left out", "yes"),
        ("Python", "yes", "no", "no"),
        ("HDF5Output", "yes", "no", "no"),
        ("Data", "input", "input", "input"),
    ],
)
def test_what_is_known_of_types(type: str, torch: str, onnx: str, source: str) -> None:
    row = next(row for row in supported() if row.type == type)
    assert (row.torch, row.onnx, row.source) == (torch, onnx, source)
    assert row.about
