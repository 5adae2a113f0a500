"""Do half precision, compiling and recomputing give what plain training gives?"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from netdef.diagnostics import NetdefError
from netdef.solver.checkpoint import Cut, best, need
from netdef.solver.loop import Solver
from netdef.solver.nets import read_config
from netdef.solver.scaling import LossScale
from tests.solver import small_run


def losses(path: Path, count: int, **changes: Any) -> list[float]:
    with Solver(replace(read_config(str(path))[0], average_loss=100, **changes)) as solver:
        solver.step(count)
        return list(solver.run.losses.recent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return small_run.make(tmp_path)


def test_half_precision_stays_near(path: Path) -> None:
    assert losses(path, 3, precision="FP16") == pytest.approx(losses(path, 3), rel=0.05)


def test_recomputing_changes_nothing(path: Path) -> None:
    """With dropout and BatchNorm, to the last bit."""
    assert losses(path, 6, activation_checkpoint=True) == losses(path, 6)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler on the CPU")
@pytest.mark.filterwarnings("ignore")
def test_compiling_changes_rounding_alone(tmp_path: Path) -> None:
    path = small_run.make(tmp_path, net=small_run.NET.replace("dropout_ratio: 0.3", "dropout_ratio: 0"))
    assert losses(path, 4, compile=True) == pytest.approx(losses(path, 4), rel=1e-3)


class Plain:
    """A stand-in with one weight: what an optimizer has that is scaled for."""

    def __init__(self) -> None:
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.iteration, self.seen = 0, []

    def gradients(self) -> list[torch.Tensor]:
        assert self.weight.grad is not None
        return [self.weight.grad]

    def step(self) -> None:
        self.seen.append(float(self.gradients()[0]))
        self.iteration += 1


def test_the_scale_follows_grad_scaler() -> None:
    """The same losses through torch.amp.GradScaler: scales and updates agree, over-flowing ones left out."""
    ours, theirs = LossScale(torch.device("cpu")), torch.amp.GradScaler("cpu")
    mine, weight = Plain(), torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    for factor in (2.0, float("inf"), 3.0, float("nan"), 0.5):
        ours.backward(mine.weight * factor)
        ours.step(mine)
        mine.weight.grad = None
        theirs.scale(weight * factor).backward()
        theirs.step(optimizer)
        theirs.update()
        optimizer.zero_grad()
        assert ours.scale == theirs.get_scale()
    assert (mine.iteration, mine.seen) == (5, [2.0, 3.0, 0.5])


def test_the_scale_grows_after_2000_updates() -> None:
    scale, mine = LossScale(torch.device("cpu")), Plain()
    scale.restore({"scale": 4.0, "good": 1999})
    scale.backward(mine.weight * 1.0)
    scale.step(mine)
    assert scale.state() == {"scale": 8.0, "good": 0}


def test_the_scale_is_resumed(path: Path) -> None:
    config = replace(read_config(str(path))[0], precision="FP16")
    with Solver(config) as solver:
        solver.run.scale.restore({"scale": 512.0, "good": 7})
        solver.step(1)
        place, expected = solver.snapshot(), solver.run.scale.state()
    with Solver(config) as solver:
        solver.restore(place.state)
        assert solver.run.scale.state() == expected == {"scale": 512.0, "good": 8}


CUTS = [Cut(place, 10, before) for place, before in enumerate(range(100, 1000, 100), 1)]


def test_the_best_cuts_need_the_least() -> None:
    """Ten layers of 100 bytes, 10 at each cut: against every choice of cuts."""
    every = [[cut for bit, cut in enumerate(CUTS) if choice >> bit & 1] for choice in range(2 ** len(CUTS))]
    assert need(best(CUTS, 1000), 1000) == min(need(chosen, 1000) for chosen in every)
    assert best([], 1000) == ()


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("parallel: FSDP compile: true", "`parallel: FSDP` and `compile` exclude each other"),
        ("parallel: FSDP cuda_graphs: true", "`parallel: FSDP` and `cuda_graphs` exclude each other"),
        ("precision: FP16 cuda_graphs: true", "`cuda_graphs` without `compile` has no scaled loss"),
        (
            "activation_checkpoint: true cuda_graphs: true",
            "`activation_checkpoint` and `cuda_graphs` exclude each other",
        ),
        ("activation_checkpoint: true compile: true", "`activation_checkpoint` and `compile` exclude each other"),
    ],
)
def test_what_is_not_there(tmp_path: Path, field: str, found: str) -> None:
    with pytest.raises(NetdefError) as failure:
        read_config(str(small_run.make(tmp_path, field)))
    (diagnostic,) = failure.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("ND0713", found)
