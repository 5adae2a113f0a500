"""Do pycaffe's solvers train as real Caffe's did, over nets that a script can see and change?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netdef.pycaffe as caffe
from netdef import NetdefError
from tests.golden_cases import GOLDEN, cases

SOLVERS = cases("solvers")
SNAPSHOTS = cases("snapshots")
TIMES = 4
"""As in tests/solver/test_golden_solvers.py: what Caffe itself drifts by, times this."""

NET = """
layer { name: "data" type: "Input" top: "x" top: "t" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


@pytest.mark.parametrize("case", SOLVERS, ids=[case["name"] for case in SOLVERS])
def test_follows_caffe(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten iterations; `diff` holds the update after a step, as in Caffe."""
    monkeypatch.chdir(GOLDEN / case["dir"])
    want = np.load("case.npz")
    solver = caffe.get_solver("solver.prototxt")
    solver.net.copy_from("init.caffemodel")
    losses = []
    for iteration in range(1, 11):
        assert np.float32(solver.lr) == np.float32(want["lr"][iteration - 1])
        solver.step(1)
        losses.append(sum(float(solver.net.blobs[name].data) * weight for name, weight in weights(solver).items()))
        if iteration == 1:
            assert_near(
                case, {k: v for k, v in params(solver, "diff").items() if not k.startswith("bn.")}, want, "update1"
            )
        if iteration in (1, 10):
            assert_near(case, params(solver, "data"), want, f"iter{iteration}")
    assert solver.iter == 10
    last = want["loss_micro"].reshape(len(want["loss"]), -1)[:10, -1]
    tolerance = TIMES * max(case["sensitivity"]["max_abs_loss_diff"], 2.4e-7)
    assert np.abs(np.array(losses) - last).max() <= tolerance


@pytest.mark.parametrize("case", SNAPSHOTS, ids=[case["name"] for case in SNAPSHOTS])
def test_restores_caffes_snapshots(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = GOLDEN / case["dir"]
    monkeypatch.chdir(folder)
    want = np.load(folder / case["npz"])
    solver = caffe.get_solver("solver.prototxt")
    solver.restore(next(str(path) for path in sorted(folder.glob("*solverstate*"))))
    assert solver.iter == int(want["state_iter"])
    solver.step(len(want["loss_resumed"]))
    for key, value in params(solver, "data").items():
        np.testing.assert_allclose(value, want[f"resumed_final.{key}"], rtol=1e-3, atol=1e-5)


def weights(solver: caffe.Solver) -> dict[str, float]:
    return {name: weight for name, weight in solver.net.blob_loss_weights.items() if weight}


def params(solver: caffe.Solver, what: str) -> dict[str, Any]:
    found = solver.net.params.items()
    return {f"{layer}.{i}": getattr(blob, what).copy() for layer, blobs in found for i, blob in enumerate(blobs)}


def assert_near(case: dict[str, Any], found: dict[str, Any], want: Any, key: str) -> None:
    tolerance = TIMES * case["sensitivity"]["max_abs_weight_diff_iter40"]
    for name, value in found.items():
        drift = np.abs(value - want[f"{key}.{name}"]).max()
        assert drift <= tolerance, f"{key}.{name}: {drift:.2e} > {tolerance:.2e}"


@pytest.fixture
def solver_file(tmp_path: Path) -> str:
    (tmp_path / "net.prototxt").write_text(NET)
    path = tmp_path / "solver.prototxt"
    text = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 50 momentum: 0.9 random_seed: 3'
    path.write_text(f'{text} snapshot_prefix: "{tmp_path}/s" snapshot_after_train: false')
    return str(path)


def feed(solver: caffe.Solver) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    solver.net.blobs["x"].data[...] = x
    solver.net.blobs["t"].data[...] = x @ [[1], [-2], [3]]


def test_a_script_feeds_inputs(solver_file: str) -> None:
    """`netdef train` refuses a net of Inputs; a script can fill them."""
    solver = caffe.SGDSolver(solver_file)
    feed(solver)
    solver.solve()
    assert solver.iter == 50
    assert float(solver.net.blobs["loss"].data) < 1e-2
    np.testing.assert_allclose(solver.net.params["fc"][0].data, [[1, -2, 3]], atol=0.3)


def test_a_loop_of_ones_own_is_a_step(solver_file: str) -> None:
    one, other = caffe.SGDSolver(solver_file), caffe.SGDSolver(solver_file)
    for solver in (one, other):
        feed(solver)
    one.step(1)
    other.net.clear_param_diffs()
    other.net.forward()
    other.net.backward()
    other.apply_update()
    assert other.iter == 0
    np.testing.assert_array_equal(one.net.params["fc"][0].data, other.net.params["fc"][0].data)
    np.testing.assert_array_equal(one.net.params["fc"][0].diff, other.net.params["fc"][0].diff)


def test_weights_written_between_steps_count(solver_file: str) -> None:
    solver = caffe.SGDSolver(solver_file)
    feed(solver)
    solver.net.params["fc"][0].data[...] = [[1, -2, 3]]
    solver.step(1)
    assert float(solver.net.blobs["loss"].data) == pytest.approx(0, abs=1e-10)


def test_param_changes_the_rate_and_the_end(solver_file: str) -> None:
    solver = caffe.SGDSolver(solver_file)
    feed(solver)
    solver.param.base_lr = 0.0
    before = params(solver, "data")
    solver.step(1)
    assert all(np.array_equal(before[name], value) for name, value in params(solver, "data").items())
    solver.param.max_iter = 3
    solver.solve()
    assert solver.iter == 3


def test_callbacks(solver_file: str) -> None:
    solver = caffe.SGDSolver(solver_file)
    feed(solver)
    told: list[str] = []
    solver.add_callback(
        lambda: told.append("start"),
        lambda: told.append("gradients" if solver.net.params["fc"][0].diff.any() else "none"),
    )
    solver.step(2)
    assert told == ["start", "gradients"] * 2


def test_snapshot_and_restore(solver_file: str, tmp_path: Path) -> None:
    one, other = caffe.AdamSolver(solver_file), caffe.AdamSolver(solver_file)
    feed(one)
    feed(other)
    one.step(3)
    one.snapshot()
    one.step(2)
    other.restore(str(tmp_path / "s_iter_3.solverstate"))
    other.step(2)
    assert other.iter == 5
    np.testing.assert_array_equal(one.net.params["fc"][0].data, other.net.params["fc"][0].data)


def test_test_nets_share_the_weights(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    path = tmp_path / "solver.prototxt"
    path.write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 5 test_iter: 1 test_interval: 2 '
        "snapshot_after_train: false"
    )
    solver = caffe.SGDSolver(str(path))
    feed(solver)
    solver.step(4)
    test = solver.test_nets[0]
    test.blobs["x"].data[...] = solver.net.blobs["x"].data
    np.testing.assert_array_equal(test.forward(end="fc")["y"], solver.net.forward(end="fc")["y"])


def test_get_solver_takes_the_files_type(solver_file: str) -> None:
    path = Path(solver_file)
    for kind, wanted in {"Adam": caffe.AdamSolver, "Nesterov": caffe.NesterovSolver, "SGD": caffe.SGDSolver}.items():
        path.with_name("other.prototxt").write_text(f'{path.read_text()} type: "{kind}"')
        assert type(caffe.get_solver(path.with_name("other.prototxt"))) is wanted


def test_errors(solver_file: str) -> None:
    with pytest.raises(NetdefError) as caught:
        caffe.AdaGradSolver(solver_file)  # it has a momentum
    assert caught.value.diagnostics[0].code == "ND0709"
    with pytest.raises(NetdefError) as caught:
        caffe.SGDSolver("nowhere.prototxt")
    assert caught.value.diagnostics[0].code == "ND0010"
