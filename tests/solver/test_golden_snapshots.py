"""Does a run go on from Caffe's own snapshots as Caffe did, and write what Caffe wrote?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netdef.solver.config import SolverConfig
from netdef.solver.loop import Solver
from netdef.solver.nets import read_config
from netdef.targets.torch import tensors
from netdef.weights import read_solverstate, read_weights

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = [c for c in json.loads((GOLDEN / "index.json").read_text()) if c["category"] == "snapshots"]
NEAR = {"rtol": 2e-5, "atol": 2e-6}


@pytest.fixture(params=CASES, ids=[c["name"] for c in CASES])
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(GOLDEN / request.param["dir"])
    return dict(request.param)


def weights(solver: Solver) -> dict[str, np.ndarray[Any, Any]]:
    held = tensors(solver.net, solver.run.train.graph)
    nodes = solver.run.train.graph.nodes
    return {f"{n.name}.{i}": held[p.id].detach().numpy() for n in nodes for i, p in enumerate(n.params)}


def assert_weights(solver: Solver, want: Any, key: str) -> None:
    for name, value in weights(solver).items():
        np.testing.assert_allclose(value, want[f"{key}.{name}"], **NEAR, err_msg=f"{key}.{name}")


def trained(solver: Solver, count: int) -> list[float]:
    losses = []
    for _ in range(count):
        solver.step(1)
        losses.append(solver.loss)
    return losses


def test_going_on_from_caffes_state(case: dict[str, Any]) -> None:
    want = np.load("case.npz")
    with Solver("solver.prototxt") as solver:
        solver.restore(case["solverstate"])
        assert (solver.iter, solver.run.current_step) == (int(want["state_iter"]), int(want["state_current_step"]))
        assert_weights(solver, want, "param")
        for index, row in enumerate(solver.optimizer.history()):
            np.testing.assert_array_equal(row, want[f"history.{index}"])
        np.testing.assert_allclose(trained(solver, 15), want["loss_resumed"], **NEAR)
        assert_weights(solver, want, "resumed_final")


def test_what_caffe_wrote_is_what_we_write(case: dict[str, Any], tmp_path: Path) -> None:
    """Fifteen iterations from Caffe's first weights, then a snapshot: Caffe's own files hold the same."""
    want = np.load("case.npz")
    config, _ = read_config("solver.prototxt")
    with Solver(_into(config, tmp_path)) as solver:
        begin(solver, want)
        np.testing.assert_allclose(trained(solver, 15), want["loss"][:15], **NEAR)
        place = solver.snapshot()
    ours, caffes = read_solverstate(place.state), read_solverstate(case["solverstate"])
    assert (ours.iter, ours.current_step, len(ours.history)) == (caffes.iter, caffes.current_step, len(caffes.history))
    assert place.state.name == Path(case["solverstate"]).name
    for a, b in zip(ours.history, caffes.history, strict=True):
        np.testing.assert_allclose(a, b, **NEAR)
    found, expected = read_weights(place.weights), read_weights(case["weights"])
    assert found.format == expected.format
    assert list(found) == list(expected)
    for name, blobs in expected.items():
        for a, b in zip(found[name], blobs, strict=True):
            np.testing.assert_allclose(a, b, **NEAR)


def test_our_own_snapshot_goes_on_without_a_seam(case: dict[str, Any], tmp_path: Path) -> None:
    want = np.load("case.npz")
    config = _into(read_config("solver.prototxt")[0], tmp_path)
    with Solver(config) as solver:
        begin(solver, want)
        solver.step(12)
        place = solver.snapshot()
        solver.step(18)
        uninterrupted = {name: value.copy() for name, value in weights(solver).items()}
        assert_weights(solver, want, "final")
    with Solver(config) as solver:
        solver.restore(place.state)
        solver.step(18)
        for name, value in weights(solver).items():
            np.testing.assert_array_equal(value, uninterrupted[name])


def _into(config: SolverConfig, folder: Path) -> SolverConfig:
    from dataclasses import replace

    return replace(config, snapshot_prefix=str(folder / "snap"))


def begin(solver: Solver, want: Any) -> None:
    """Put Caffe's first weights in."""
    import torch

    held = tensors(solver.net, solver.run.train.graph)
    with torch.no_grad():
        for node in solver.run.train.graph.nodes:
            for i, param in enumerate(node.params):
                held[param.id].copy_(torch.tensor(want[f"init.{node.name}.{i}"]))
