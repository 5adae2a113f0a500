"""The golden cases: what real Caffe computed, and how close netdef must come."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).parent / "golden"
Arrays = dict[str, NDArray[Any]]


@cache
def index() -> list[dict[str, Any]]:
    """Every case's entry in index.json."""
    entries: list[dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text())
    return entries


def cases(category: str) -> list[dict[str, Any]]:
    """The entries of one category."""
    return [entry for entry in index() if entry["category"] == category]


def arrays(case: dict[str, Any]) -> Arrays:
    """The arrays of a case."""
    with np.load(GOLDEN / case["dir"] / case["npz"]) as data:
        return {key: data[key] for key in data.files}


def prototxt(case: dict[str, Any]) -> Path:
    """The net of a case."""
    return GOLDEN / str(case["dir"]) / str(case["prototxt"])


def group(held: Arrays, kind: str) -> Arrays:
    """The arrays whose key begins with `kind.`, by the rest of the key."""
    return {key.removeprefix(f"{kind}."): value for key, value in held.items() if key.startswith(f"{kind}.")}


def assert_close(actual: Any, expected: NDArray[Any], tolerance: float, what: str, terms: float = 1e-3) -> None:
    """The largest difference, relative to the largest magnitude that is expected, is within the tolerance.

    `terms` is the size of what was summed up, where a sum cancels to nearly nothing.
    """
    actual = np.asarray(actual, np.float64)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, Caffe's is {expected.shape}"
    difference = float(np.max(np.abs(actual - expected), initial=0.0))
    scale = max(float(np.max(np.abs(expected), initial=0.0)), terms)
    assert difference <= tolerance * scale, f"{what}: off by {difference:.3g} where values reach {scale:.3g}"
