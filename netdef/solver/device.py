"""On which device does a run compute?"""

from __future__ import annotations

import os

import torch

from netdef.diagnostics import NetdefError, error
from netdef.solver.config import SolverConfig


def choose(config: SolverConfig, wanted: int | str | None = None) -> tuple[torch.device, str]:
    """The device, and a line about the choice (empty where it is what was asked for).

    Args:
        config: its `gpu` is a wish: where there is none, the processor serves.
        wanted: the number of a GPU, or a device by torch's name ("cpu", "cuda:1"): a demand.

    Raises:
        NetdefError: ND0711, there is no such GPU; ND0713, the precision needs one.
    """
    device, note = _demanded(wanted) if wanted is not None else _wished(config.gpu)
    if config.precision in ("TF32", "FP16") and (device.type != "cuda" or config.precision == "FP16"):
        help = "use `precision: FP32` or `BF16`"
        raise NetdefError([error("ND0713", f"`precision: {config.precision}` is not available on {device}", help=help)])
    return device, note


def _demanded(wanted: int | str) -> tuple[torch.device, str]:
    device = torch.device("cuda", wanted) if isinstance(wanted, int) else torch.device(wanted)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise NetdefError([error("ND0711", f"GPU {device.index or 0} was asked for, torch finds {_gpus(count)}")])
    return device, ""


def _wished(gpu: int | None) -> tuple[torch.device, str]:
    if gpu is None:
        return torch.device("cpu"), ""
    if torch.cuda.is_available() and gpu < torch.cuda.device_count():
        return torch.device("cuda", gpu), ""
    return torch.device("cpu"), "No GPU found: training on the CPU."


def _gpus(count: int) -> str:
    return {0: "no GPU", 1: "1 GPU"}.get(count, f"{count} GPUs")


def set_up(config: SolverConfig, device: torch.device) -> None:
    """Tell torch about precision and determinism. These are settings of the whole process."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if config.precision == "FP32" else "high")
        torch.backends.cudnn.allow_tf32 = config.precision != "FP32"
        torch.backends.cudnn.benchmark = not config.deterministic
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses to be deterministic
        torch.use_deterministic_algorithms(True)
