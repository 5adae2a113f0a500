"""On which device does a run compute?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.utils.deterministic

from netdef.diagnostics import NetdefError, error
from netdef.ranks import local_world_size
from netdef.solver.config import SolverConfig
from netdef.solver.style import precision_on
from netdef.solver.team import ALONE, Team


def choose(config: SolverConfig, wanted: int | str | None = None, team: Team = ALONE) -> tuple[torch.device, str]:
    """The device, and a line about the choice (empty where it is what was asked for).

    Args:
        config: its `gpu` is a wish: where there is none, the processor serves.
        wanted: the number of a GPU, or a device by torch's name ("cpu", "cuda:1"): a demand.
        team: of several processes on a machine each has the GPU of its own number, or none of them has one.

    Raises:
        NetdefError: ND0711, there is no such GPU; ND0713, the precision needs one.
    """
    device, note = (demanded(wanted), "") if wanted is not None else _wished(config.gpu, team)
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
    if device.type != "cuda":
        return device
    if (device.index or 0) >= _num_gpus():
        message = f"GPU {device.index or 0} was asked for, torch finds {_gpus(_num_gpus())}"
        raise NetdefError([error("ND0711", message)])
    return torch.device("cuda", torch.cuda.current_device()) if str(device) == "cuda" else device


def _wished(gpu: int | None, team: Team) -> tuple[torch.device, str]:
    """A GPU where there is one; for all processes of a machine or for none, as they could not talk otherwise."""
    if gpu is None:
        return torch.device("cpu"), ""
    number, count = gpu if team.world == 1 else team.local_rank, _num_gpus()
    if number < count and (team.world == 1 or local_world_size() <= count):
        return torch.device("cuda", number), ""
    if count and team.world > 1:
        return torch.device("cpu"), f"{local_world_size()} processes and {_gpus(count)}: training on the CPU."
    return torch.device("cpu"), "No GPU found: training on the CPU."


def _num_gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _gpus(count: int) -> str:
    return {0: "no GPU", 1: "1 GPU"}.get(count, f"{count} GPUs")


def set_up(config: SolverConfig, device: torch.device) -> Callable[[], None]:
    """Tell torch about device, precision and determinism; what comes back restores the settings, the process's own."""
    undo = ExitStack()
    if device.type == "cuda":
        undo.enter_context(torch.cuda.device(device))  # for streams, events and libraries that name no device
        _round_products(precision_on(device, config.precision) != "FP32", undo)
        undo.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        torch.backends.cudnn.benchmark = not config.deterministic
    if config.deterministic:
        _be_certain(undo)
    return undo.close


def _be_certain(undo: ExitStack) -> None:
    """Let every operation give the same bits each time, or refuse."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses
    undo.callback(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled())
    torch.use_deterministic_algorithms(True)
    # torch would also fill all memory that it takes, for programs that read what nobody has written.
    filling: Any = torch.utils.deterministic
    undo.callback(setattr, filling, "fill_uninitialized_memory", filling.fill_uninitialized_memory)
    filling.fill_uninitialized_memory = False


@contextmanager
def products(*, to_tf32: bool) -> Iterator[None]:
    """A block in which matrix products and convolutions of float32 are rounded to TF32 on GPUs, or are not."""
    with ExitStack() as undo:
        _round_products(to_tf32, undo)
        yield


def _round_products(to_tf32: bool, undo: ExitStack) -> None:
    """See `products`.

    torch refuses to be asked by its older names for this once a program has used the newer ones; set it can be by
    either at any time, and by the older all parts of torch understand it.
    """
    cudnn: Any = torch.backends.cudnn  # torch makes its properties as it is imported
    asked = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    _keep(undo, *asked, torch.backends.cuda.matmul)
    _keep(undo, lambda: cudnn.allow_tf32, partial(setattr, cudnn, "allow_tf32"), cudnn.conv, cudnn.rnn)
    torch.set_float32_matmul_precision("high" if to_tf32 else "highest")
    cudnn.allow_tf32 = to_tf32


def _keep(undo: ExitStack, get: Callable[[], Any], set: Callable[[Any], None], *newer: Any) -> None:
    """Note a setting, by its newer names where torch does not tell it by the older one."""
    try:
        undo.callback(set, get())
    except RuntimeError:
        for kind in newer:
            undo.callback(setattr, kind, "fp32_precision", kind.fp32_precision)
