"""Does training follow real Caffe? Loss, rate and weights of every golden solver case."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netdef.solver.loop import Solver
from netdef.solver.nets import read_config
from netdef.targets.torch import tensors

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = [c for c in json.loads((GOLDEN / "index.json").read_text()) if c["category"] == "solvers"]
TIMES, GPU_TIMES = 4, 40
"""Caffe drifts by its `sensitivity` when its first weights change by one part in 1e7; we may by this many times it.

A GPU's sums have another order, which changes them by about one part in 1e6."""


def arrays(solver: Solver) -> dict[str, np.ndarray[Any, Any]]:
    """Parameters by Caffe's name of them, ``layer.index``."""
    held = tensors(solver.net, solver.run.train.graph)
    return {
        f"{node.name}.{i}": held[param.id].detach().cpu().numpy().copy()
        for node in solver.run.train.graph.nodes
        for i, param in enumerate(node.params)
    }


each = pytest.mark.parametrize("case", CASES, ids=[c["name"] for c in CASES])


@each
def test_follows_caffe(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN / case["dir"])
    follow(case, "cpu", TIMES)


@pytest.mark.gpu
@each
def test_a_gpu_follows_caffe(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN / case["dir"])
    follow(case, "cuda", GPU_TIMES)


def follow(case: dict[str, Any], device: str, times: int) -> None:
    want = np.load("case.npz")
    losses, rates = [], []
    config = replace(read_config("solver.prototxt")[0], precision="FP32")
    with Solver(config, weights=["init.caffemodel"], device=device) as solver:
        before = arrays(solver)
        for iteration in range(1, 41):
            rates.append(solver.lr)
            solver.step(1)
            losses.append(solver.loss)
            now = arrays(solver)
            if iteration == 1:  # the forward pass moves BatchNorm's statistics, not the update
                moved = {name: before[name] - now[name] for name in now if not name.startswith("bn.")}
                assert_near(case, moved, want, "update1", times)
            if iteration in (1, 10, 40):
                assert_near(case, now, want, f"iter{iteration}", times)
    assert np.array_equal(np.float32(rates), np.float32(want["lr"]))
    tolerance = times * max(case["sensitivity"]["max_abs_loss_diff"], 2.4e-7)
    assert np.abs(np.array(losses) - want["loss"]).max() <= tolerance


def assert_near(case: dict[str, Any], found: dict[str, Any], want: Any, key: str, times: int) -> None:
    tolerance = times * case["sensitivity"]["max_abs_weight_diff_iter40"]
    for name, value in found.items():
        drift = np.abs(value - want[f"{key}.{name}"]).max()
        assert drift <= tolerance, f"{key}.{name}: {drift:.2e} > {tolerance:.2e}"
