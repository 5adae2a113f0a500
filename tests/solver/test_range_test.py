"""Does the range test raise the rate as it says, find the places that stand out, and leave everything as it was?"""

from __future__ import annotations

import shutil
from math import log10
from pathlib import Path

import pytest

from netdef.diagnostics import RunError
from netdef.solver.config import SolverConfig
from netdef.solver.nets import read_config
from netdef.solver.range_test import _judge, _Watch, range_test
from tests.golden_cases import GOLDEN


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SolverConfig:
    shutil.copytree(GOLDEN / "logs/train_test", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return read_config("solver.prototxt")[0]


def seen(losses: dict[float, float], diverged: bool = False) -> _Watch:
    watch = _Watch(lambda iteration, rate, loss: None)
    watch.seen, watch.diverged = list(losses.items()), diverged
    return watch


def valley(rate: float) -> float:
    """Flat at 2, falls between 1e-4 and 1e-2, steepest at 1e-3, then rises."""
    x = log10(rate)
    fall = 2 - 1.5 / (1 + 10 ** (-3 * (x + 3)))
    return fall + max(x + 1, 0) * 2


RATES = [10 ** (-6 + 6 * i / 299) for i in range(300)]


def test_finds_the_steepest_and_the_lowest_place() -> None:
    test = _judge(seen({rate: valley(rate) for rate in RATES}), 300)
    assert test.steepest == pytest.approx(1e-3, rel=0.15)
    assert 0.04 < test.lowest < 0.15, "the corner is at 0.1, and a loss is smoothed over a third of a decade"
    assert test.suggestion == test.steepest


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        pytest.param({1e-3 * 1.1**i: 2 + 0.1 * i for i in range(60)}, "does not fall", id="never falls"),
        pytest.param({1.0: 2.0, 2.0: 90.0}, "ran away after 2", id="runs away at once"),
        pytest.param({}, "ran away after 0", id="not one loss is finite"),
    ],
)
def test_a_curve_without_a_valley(losses: dict[float, float], says: str) -> None:
    with pytest.raises(RunError) as failure:
        _judge(seen(losses), 60)
    assert failure.value.diagnostics[0].code == "ND0832"
    assert says in failure.value.diagnostics[0].message


def test_rates_rise_by_one_factor_and_nothing_is_written(config: SolverConfig) -> None:
    before = {path: path.read_bytes() for path in Path().iterdir()}
    told: list[float] = []
    test = range_test(config, low=1e-4, high=10, iterations=51, tell=lambda iteration, rate, loss: told.append(rate))
    assert told == [point.rate for point in test.points]
    assert told == pytest.approx([1e-4 * 10 ** (5 * i / 50) for i in range(len(told))], rel=1e-5)
    assert 1e-4 < test.suggestion <= test.lowest / 10
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_ends_where_the_loss_runs_away(config: SolverConfig) -> None:
    test = range_test(config, low=1e-2, high=1e6, iterations=60)
    assert test.diverged
    assert len(test.points) < 60
    assert test.points[-1].rate < 1e6
