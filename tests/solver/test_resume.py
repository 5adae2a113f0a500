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


OWN = """
type: "AdamW" lr_policy: "plateau" min_lr: 0.001 plateau { output: "loss" patience: 1 } warmup_iter: 4 ema_decay: 0.9
early_stop { output: "accuracy" patience: 40 } clip_value: 0.5 snapshot_diff: true
param_rule { layer: "ip" lr_mult: 2 }
"""


def own(text: str) -> str:
    """The small run with netdef's own fields in the place of Caffe's."""
    for field in ('type: "Adam"', 'lr_policy: "multistep"', "stepvalue: 6 stepvalue: 14"):
        text = text.replace(field, "")
    return text.replace("test_interval: 6", "test_interval: 3") + OWN.replace("{", "{{").replace("}", "}}")


def test_a_few_kill_points_with_netdefs_own_fields(tmp_path: Path) -> None:
    small_run.make(tmp_path, solver=own(small_run.SOLVER))
    (_, *found) = killed(tmp_path, [7, 33, 52, 60])
    assert found == ["7 same", "33 same", "52 same", "60 same"]


@pytest.mark.slow
@pytest.mark.parametrize("text", [small_run.SOLVER, own(small_run.SOLVER)], ids=["caffe", "own_fields"])
def test_two_hundred_kill_points(tmp_path: Path, text: str) -> None:
    """Every point of the run, or 200 of them spread over it; it takes more snapshots than in the quick test."""
    small_run.make(tmp_path, solver=text.replace("snapshot: 5", "snapshot: 2 snapshot_keep: 3"))
    total = int(killed(tmp_path, [])[0].split()[1])
    points = sorted({1 + i * total // 200 for i in range(200)})
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
