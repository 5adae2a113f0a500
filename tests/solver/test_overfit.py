"""Does a net that can learn pass, and does one that cannot say why?"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from netdef.diagnostics import NetdefError, RunError
from netdef.solver.config import SolverConfig
from netdef.solver.loop import Solver
from netdef.solver.nets import read_config
from netdef.solver.overfit import Handful, overfit
from tests.golden_cases import GOLDEN


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SolverConfig:
    shutil.copytree(GOLDEN / "logs/train_test", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return read_config("solver.prototxt")[0]


def rate(config: SolverConfig, base_lr: float) -> SolverConfig:
    return replace(config, policy=replace(config.policy, base_lr=base_lr))


@pytest.mark.parametrize("num_images", [5, 8, 20], ids=["less than a batch", "a batch", "several batches"])
def test_a_sound_net_learns_by_heart(config: SolverConfig, num_images: int) -> None:
    before = sorted(Path().iterdir())
    told: list[tuple[int, float, float]] = []
    result = overfit(rate(config, 0.2), num_images, tell=lambda *numbers: told.append(numbers))
    assert result.num_images == num_images
    assert result.loss < result.first_loss
    assert [iteration for iteration, _, _ in told] == list(range(10, result.iterations + 1, 10))
    assert told[-1][2] == 1.0
    assert sorted(Path().iterdir()) == before


def test_the_rows_are_the_first_ones_in_a_circle(config: SolverConfig) -> None:
    with h5py.File("train.h5") as file:
        expected = np.array(file["data"])
    with Solver(replace(config, tests=(), test_interval=0)) as solver:
        handful = Handful.take(solver, 11)
        batches = [handful.next() for _ in range(3)]
    rows = np.concatenate([batch["data"].numpy() for batch in batches])
    assert np.array_equal(rows, expected[np.arange(24) % 11])


def test_no_more_iterations_than_asked_for(config: SolverConfig) -> None:
    with pytest.raises(RunError) as failure:
        overfit(rate(config, 1e-9), 8, iterations=13)
    assert "after 13 iterations" in failure.value.diagnostics[0].message


def test_more_images_than_there_are(config: SolverConfig) -> None:
    with h5py.File("train.h5") as file:
        rows = len(file["data"])
    with pytest.raises(NetdefError) as failure:
        overfit(config, rows + 1)
    assert failure.value.diagnostics[0].code == "ND0730"
    assert f"there are {rows}, and {rows + 1} were asked for" in failure.value.diagnostics[0].message


def test_a_rate_that_does_nothing(config: SolverConfig) -> None:
    with pytest.raises(RunError) as failure:
        overfit(rate(config, 1e-9), 8, iterations=20)
    (found,) = failure.value.diagnostics
    assert (found.code, failure.value.exit_code) == ("ND0830", 3)
    assert "after 20 iterations" in found.message
    assert "hardly moves: is `base_lr: 1e-09` too low?" in found.help[0]


def test_equal_images_with_different_labels(config: SolverConfig) -> None:
    with h5py.File("train.h5", "r+") as file:
        file["data"][3] = file["data"][1]
        file["label"][3], file["label"][1] = 0, 2
    with pytest.raises(RunError) as failure:
        overfit(rate(config, 0.1), 8, iterations=50)
    assert "images 1 and 3 are equal, but their labels are 2 and 0" in failure.value.diagnostics[0].help[0]


def test_an_image_that_does_not_reach_the_loss(config: SolverConfig) -> None:
    text = Path("net.prototxt").read_text()
    cut = (
        'layer { name: "cut" type: "Power" bottom: "pool" top: "pool" power_param { scale: 0 } }\nlayer {\n  name: "ip"'
    )
    Path("net.prototxt").write_text(text.replace('layer {\n  name: "ip"', cut))
    with pytest.raises(RunError) as failure:
        overfit(config, 8, iterations=20)
    assert "the scores are the same for every image" in failure.value.diagnostics[0].help[0]


def test_a_net_without_scores(config: SolverConfig) -> None:
    text = Path("net.prototxt").read_text().replace("num_output: 4", "num_output: 1")
    Path("net.prototxt").write_text(text.replace("SoftmaxWithLoss", "EuclideanLoss"))
    with pytest.raises(NetdefError) as failure:
        overfit(replace(config, tests=()), 8)
    assert failure.value.diagnostics[0].code == "ND0730"
