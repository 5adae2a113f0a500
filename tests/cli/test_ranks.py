"""Variables that are meant for torchrun's processes: what do they do to a command?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden_cases import GOLDEN

NET, SOLVER = GOLDEN / "nets/lenet/net.prototxt", GOLDEN / "logs/train_test/solver.prototxt"
ROOT = Path(__file__).parents[2]


def netdef(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "netdef", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, env=environment, cwd=SOLVER.parent, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("value", ["", "x", "-1", "2"])
def test_a_command_that_does_not_train_takes_no_notice(value: str) -> None:
    done = netdef("check", NET, WORLD_SIZE=value, RANK=value, LOCAL_RANK=value)
    assert (done.returncode, done.stderr) == (0, "1 file: all good\n")


@pytest.mark.parametrize("name", ["WORLD_SIZE", "LOCAL_RANK"])
def test_training_says_which_variable_is_no_number(name: str) -> None:
    done = netdef("train", SOLVER, "--gpu", "0", **{name: "x"})
    assert done.returncode == 1
    assert f"error[ND0720]: the environment variable {name} is 'x', not a number" in done.stderr
    assert "Traceback" not in done.stderr
