"""Is a run that was killed and resumed the same, bit for bit, as one that never stopped?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netdef.solver.loop import Solver
from tests.solver import small_run

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kill points need fork")


def killed(folder: Path, points: list[int]) -> list[str]:
    """The lines of kill_points.py."""
    command = [sys.executable, str(HERE / "kill_points.py"), str(folder), *map(str, points)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_few_kill_points(tmp_path: Path) -> None:
    small_run.make(tmp_path)
    (count, *found) = killed(tmp_path, [3, 25, 44])
    assert int(count.split()[1]) > 44
    assert found == ["3 same", "25 same", "44 same"]


@pytest.mark.slow
def test_two_hundred_kill_points(tmp_path: Path) -> None:
    """Every point of the run, as often as it takes; the run is made longer than in the quick test."""
    small_run.make(tmp_path, solver=small_run.SOLVER.replace("snapshot: 5", "snapshot: 2 snapshot_keep: 3"))
    total = int(killed(tmp_path, [])[0].split()[1])
    points = list(range(1, total + 1))[:200]
    found = killed(tmp_path, points)[1:]
    assert [line for line in found if not line.endswith(" same")] == []
    assert len(found) == len(points)


RECURRENT = """
name: "recurrent"
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param {{ source: "{folder}/list.txt" batch_size: 6 }} }}
layer {{ name: "cont" type: "DummyData" top: "cont" dummy_data_param {{ shape {{ dim: 3 dim: 2 }}
  data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "steps" type: "Reshape" bottom: "data" top: "steps"
  reshape_param {{ shape {{ dim: 3 dim: 2 dim: 72 }} }} }}
layer {{ name: "lstm" type: "LSTM" bottom: "steps" bottom: "cont" top: "lstm" recurrent_param {{ num_output: 3
  weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" }} }} }}
layer {{ name: "flat" type: "Reshape" bottom: "lstm" top: "flat" reshape_param {{ shape {{ dim: 6 dim: 3 }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "flat" bottom: "label" top: "loss" }}
"""


def test_the_state_of_an_lstm_is_kept(tmp_path: Path) -> None:
    text = small_run.SOLVER.replace("test_iter: 2 test_interval: 6", "")
    path = small_run.make(tmp_path, solver=text, net=RECURRENT)
    with Solver(path) as solver:
        solver.step(3)
        place = solver.snapshot()
        solver.step(1)
        uninterrupted = solver.run.losses.recent[-1]
    with Solver(path) as solver:
        solver.restore(place.state)
        solver.step(1)
        assert solver.run.losses.recent[-1] == uninterrupted
