"""On which device does a run compute?"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import torch

from netdef.diagnostics import NetdefError, error
from netdef.solver.config import SolverConfig
from netdef.solver.team import ALONE, Team


def choose(config: SolverConfig, wanted: int | str | None = None, team: Team = ALONE) -> tuple[torch.device, str]:
    """The device, and a line about the choice (empty where it is what was asked for).

    Args:
        config: its `gpu` is a wish: where there is none, the processor serves.
        wanted: the number of a GPU, or a device by torch's name ("cpu", "cuda:1"): a demand.
        team: of several processes on a machine each has the GPU of its own number.

    Raises:
        NetdefError: ND0711, there is no such GPU; ND0713, the precision needs one.
    """
    gpu = config.gpu if team.world == 1 or config.gpu is None else team.local_rank
    device, note = (demanded(wanted), "") if wanted is not None else _wished(gpu)
    if device.type == "cuda" and team.world > 1:
        torch.cuda.set_device(device)
    if config.precision == "TF32" and device.type != "cuda":
        help = "use `precision: FP32` or `BF16`"
        raise NetdefError([error("ND0713", f"`precision: {config.precision}` is not available on {device}", help=help)])
    return device, note


def demanded(wanted: int | str | torch.device) -> torch.device:
    """The device of that name, or the GPU of that number.

    Raises:
        NetdefError: ND0711, torch has no such device.
    """
    try:
        device = torch.device("cuda", wanted) if isinstance(wanted, int) else torch.device(wanted)
    except RuntimeError as fault:
        message = f"torch knows no device by the name of {wanted!r}"
        raise NetdefError([error("ND0711", message, help='"cpu", "cuda" or "cuda:1", for example')]) from fault
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise NetdefError([error("ND0711", f"GPU {device.index or 0} was asked for, torch finds {_gpus(count)}")])
    return device


def _wished(gpu: int | None) -> tuple[torch.device, str]:
    if gpu is None:
        return torch.device("cpu"), ""
    if torch.cuda.is_available() and gpu < torch.cuda.device_count():
        return torch.device("cuda", gpu), ""
    return torch.device("cpu"), "No GPU found: training on the CPU."


def _gpus(count: int) -> str:
    return {0: "no GPU", 1: "1 GPU"}.get(count, f"{count} GPUs")


def set_up(config: SolverConfig, device: torch.device) -> Callable[[], None]:
    """Tell torch about precision and determinism; what comes back restores the settings, which are the process's."""
    before = _settings()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if config.precision == "FP32" else "high")
        torch.backends.cudnn.allow_tf32 = config.precision != "FP32"
        torch.backends.cudnn.benchmark = not config.deterministic
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses to be deterministic
        torch.use_deterministic_algorithms(True)
    return partial(_restore, *before)


def _settings() -> tuple[str, bool, bool, bool]:
    cudnn = torch.backends.cudnn
    precision, certain = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    return precision, cudnn.allow_tf32, cudnn.benchmark, certain


def _restore(precision: str, allow_tf32: bool, benchmark: bool, certain: bool) -> None:
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = allow_tf32, benchmark
    torch.use_deterministic_algorithms(certain)
