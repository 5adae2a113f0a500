"""Is a run that was killed and resumed the same, bit for bit, as one that never stopped?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
