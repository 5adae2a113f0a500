"""Do processes that hold a part of every parameter each (`parallel: FSDP`) train as one that holds all?"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from netdef.weights import read_run_state, read_solverstate, read_weights
from tests.solver import small_run
from tests.solver.test_distributed import EUCLIDEAN, PLAIN, WITH_NORM, assert_near, traces, train

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gloo as on Linux")

IP = 'layer {{ name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"'
WIDE = """
layer {{ name: "wide" type: "InnerProduct" bottom: "conv" top: "wide"
  inner_product_param {{ num_output: 1100 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "one" type: "InnerProduct" bottom: "wide" top: "one" param {{ name: "w" }} param {{ name: "b" }}
  inner_product_param {{ num_output: 64 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "two" type: "InnerProduct" bottom: "wide" top: "two" param {{ name: "w" }} param {{ name: "b" }}
  inner_product_param {{ num_output: 64 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "slow" type: "InnerProduct" bottom: "two" top: "three" param {{ lr_mult: 0 }}
  param {{ lr_mult: 2 decay_mult: 0 }}
  inner_product_param {{ num_output: 64 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "one" bottom: "three" top: "sum" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "sum" top: "ip"
"""
"""Large and small layers, arrays that two layers share, some that are frozen, a bias with factors of its own."""

MORE = " parallel: FSDP clip_gradients: 0.5 ema_decay: 0.9 "
CASES = {
    "adam": (PLAIN.replace(IP, WIDE), MORE),
    "small layers alone": (PLAIN + EUCLIDEAN, MORE),
    "synchronised": (WITH_NORM.replace(IP, WIDE), MORE + "sync_batch_norm: true"),
    "recomputed": (PLAIN.replace(IP, WIDE), MORE + "activation_checkpoint: true snapshot_format: HDF5"),
}


def files(folder: Path, name: str) -> list[list[np.ndarray]]:
    """All arrays of a snapshot: weights, averages, history."""
    end = ".h5" if name.endswith("recomputed") else ""
    paths = [folder / f"{name.replace(' ', '_')}/out/snap_iter_20{kind}.caffemodel{end}" for kind in ("", "_ema")]
    models = [read_weights(path) for path in paths]
    state = read_solverstate(paths[0].with_name(f"snap_iter_20.solverstate{end}"))
    return [[blob for blobs in model.values() for blob in blobs] for model in models] + [list(state.history)]


def compare(folder: Path, count: int, cases: dict[str, tuple[str, str]]) -> None:
    one, several = (traces(folder, processes, cases) for processes in (1, count))
    for name in cases:
        assert_near(several[name], one[name])
        found, expected = (files(folder, f"{processes}_{name}") for processes in (count, 1))
        for some, others in zip(found, expected, strict=True):
            for a, b in zip(some, others, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)


def test_two_processes_follow_one(tmp_path: Path) -> None:
    """Losses, tests, weights, averages and history; a batch of 7 in parts of 3 and 4, two batches an update.

    Each of them holds half of the bytes of weights and history.
    """
    compare(tmp_path, 2, {"adam": CASES["adam"]})
    (whole,), parts = held(tmp_path / "1_adam"), held(tmp_path / "2_adam")
    assert len(parts) == 2
    assert all(part == pytest.approx(whole / 2, rel=0.01) for part in parts)


@pytest.mark.slow
def test_two_processes_with_other_nets(tmp_path: Path) -> None:
    compare(tmp_path, 2, {name: case for name, case in CASES.items() if name != "adam"})


@pytest.mark.slow
def test_four_processes_follow_one(tmp_path: Path) -> None:
    """Of arrays with three rows the last process has none."""
    compare(tmp_path, 4, CASES)


def held(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in sorted(folder.glob("held_by_*"))]


@pytest.mark.slow
def test_resume_is_exact(tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
        small_run.make(tmp_path / name, MORE + "snapshot_diff: true")
    train(tmp_path / "whole", "--processes", "2")
    train(tmp_path / "parts", "--processes", "2", "--iterations", "5")
    train(tmp_path / "parts", "--processes", "2", "--resume", "auto")
    found, expected = (tmp_path / name / "out/snap_iter_20" for name in ("parts", "whole"))
    for end in (".caffemodel", "_ema.caffemodel", ".solverstate"):
        assert Path(f"{found}{end}").read_bytes() == Path(f"{expected}{end}").read_bytes().replace(b"whole", b"parts")
    states = [read_run_state(Path(f"{path}.runstate"))[0] for path in (found, expected)]
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[1])
