"""Where does a run compute, and does it leave torch's settings as it found them? GPUs are made up here."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.utils.deterministic

from netdef.cli.gpus import own_gpu
from netdef.diagnostics import NetdefError
from netdef.schema import netdef_pb2 as pb
from netdef.schema.where import Where
from netdef.solver.config import Precision, SolverConfig
from netdef.solver.device import choose, demanded, products, set_up
from netdef.solver.style import precision_on
from netdef.solver.team import ALONE, Team

CUDA = torch.device("cuda", 1)


def config(**changes: Any) -> SolverConfig:
    message = pb.SolverParameter(net="n", base_lr=0, lr_policy="fixed", max_iter=1, solver_mode="GPU", **changes)
    found = SolverConfig.decode(message, Where.nowhere(), [], path="s")
    assert found is not None
    return found


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Any]]:
    """Let torch find so many; gives the devices that became current, and None where one was left."""

    def make(count: int) -> list[Any]:
        became: list[Any] = []

        @contextmanager
        def standing(device: torch.device) -> Iterator[None]:
            became.append(device)
            yield
            became.append(None)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "device", standing)
        return became

    return make


@pytest.mark.parametrize(
    ("count", "local", "world", "device", "note"),
    [
        (0, 0, 1, "cpu", "No GPU found: training on the CPU."),
        (2, 0, 1, "cuda:0", ""),
        (2, 1, 2, "cuda:1", ""),
        (1, 0, 2, "cpu", "2 processes and 1 GPU: training on the CPU."),
        (1, 1, 2, "cpu", "2 processes and 1 GPU: training on the CPU."),
    ],
)
def test_all_processes_have_a_gpu_or_none(
    count: int, local: int, world: int, device: str, note: str, gpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one of two computed on a GPU and one on the processor, each would wait for the other."""
    gpus(count)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world))
    team = ALONE if world == 1 else Team(local, world, local)
    assert choose(config(), None, team) == (torch.device(device), note)


def test_a_gpu_without_a_number_gets_one(gpus: Any) -> None:
    gpus(2)
    assert demanded("cuda") == torch.device("cuda", 0)
    with pytest.raises(NetdefError, match="GPU 2 was asked for, torch finds 2 GPUs"):
        demanded("cuda:2")


def test_each_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert own_gpu("2,3") == 3
    with pytest.raises(NetdefError, match="2 processes need a GPU each, and `--gpu 0` names 1"):
        own_gpu("0")


def settings() -> tuple[Any, ...]:
    return (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.mark.parametrize(
    ("asked", "device", "capability", "found"),
    [
        ("AUTO", "cuda", (9, 0), "TF32"),
        ("AUTO", "cuda", (8, 0), "TF32"),
        ("AUTO", "cuda", (7, 5), "FP32"),
        ("AUTO", "cpu", None, "FP32"),
        ("FP32", "cuda", (9, 0), "FP32"),
        ("BF16", "cpu", None, "BF16"),
    ],
)
def test_the_device_decides_where_no_precision_is_asked_for(
    asked: Precision, device: str, capability: Any, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert precision_on(torch.device(device), asked) == found
    assert config().precision == "AUTO"


@pytest.mark.parametrize("precision", ["FP32", "BF16"])
def test_settings_are_for_the_run(precision: str, gpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    became, before = gpus(2), settings()
    restore = set_up(replace(config(), precision=precision, deterministic=True), CUDA)
    rounded = precision != "FP32"
    assert settings() == ("high" if rounded else "highest", rounded, False, True, False)
    restore()
    assert settings() == before
    assert became == [CUDA, None]


def test_settings_stay_where_nobody_restores_them(gpus: Any) -> None:
    gpus(2)
    with products(to_tf32=False):
        set_up(replace(config(), precision="BF16"), CUDA)
        gc.collect()
        assert settings()[:2] == ("high", True)
        torch.backends.cudnn.benchmark = False


NEWER = """
import torch
from netdef.solver.device import products
kinds = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn
torch.backends.cuda.matmul.fp32_precision = "tf32"
torch.backends.cudnn.conv.fp32_precision = "ieee"
before = [kind.fp32_precision for kind in kinds]
with products(to_tf32=True):
    assert [kind.fp32_precision for kind in kinds] == ["tf32"] * 3
    assert torch.backends.cudnn.allow_tf32 and torch.get_float32_matmul_precision() == "high"
assert [kind.fp32_precision for kind in kinds] == before
"""


def test_settings_by_torchs_newer_names() -> None:
    """A program may have used them, after which torch refuses to answer by the older ones."""
    done = subprocess.run([sys.executable, "-c", NEWER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
