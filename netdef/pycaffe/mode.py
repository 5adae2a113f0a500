"""Which settings hold for all nets of a process: device, seed, number of solvers?"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import NoReturn

import numpy as np
import torch

from netdef.diagnostics import Diagnostic, NetdefError, error

TRAIN, TEST = 0, 1
"""Caffe's numbers of the phases."""

logger = logging.getLogger("netdef.pycaffe")


@dataclass(slots=True)
class _Settings:
    """Caffe keeps these for a process, so its scripts expect that."""

    gpu: bool = False
    device: int = 0
    seed: int | None = None
    rng: np.random.Generator = field(default_factory=np.random.default_rng)


_SETTINGS = _Settings()


def set_mode_cpu() -> None:
    """Compute on the processor: nets and solvers that are made from now on."""
    _SETTINGS.gpu = False


def set_mode_gpu() -> None:
    """Compute on the GPU, nets and solvers that are made from now on; on the processor where torch finds none."""
    _SETTINGS.gpu = True
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False  # Caffe's convolutions are not rounded; torch's are unless it is told
    else:
        logger.warning("No GPU found: computing on the CPU.")


def set_device(device: int) -> None:
    """Choose the GPU by its number."""
    _SETTINGS.device = int(device)


def set_random_seed(seed: int) -> None:
    """Make fillers, data and dropout repeatable from here on (not the same numbers as Caffe's)."""
    _SETTINGS.seed = int(seed)
    _SETTINGS.rng = np.random.default_rng(int(seed))
    torch.manual_seed(int(seed))


def device() -> torch.device:
    """The device of the next net.

    Raises:
        NetdefError: ND0711, there is no GPU of the chosen number.
    """
    if not (_SETTINGS.gpu and torch.cuda.is_available()):
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if not 0 <= _SETTINGS.device < count:
        raise NetdefError([error("ND0711", f"GPU {_SETTINGS.device} was asked for, torch finds {count}")])
    return torch.device("cuda", _SETTINGS.device)


def rng() -> np.random.Generator:
    """Where fillers draw from."""
    return _SETTINGS.rng


def next_seed() -> int:
    """A seed for one net's data; the same ones come again after the same `set_random_seed`."""
    return int(_SETTINGS.rng.integers(2**31))


def is_seeded() -> bool:
    """Whether `set_random_seed` was called."""
    return _SETTINGS.seed is not None


def solver_count() -> int:
    """How many solvers train together in this process: 1."""
    return 1


def solver_rank() -> int:
    """The place of this process's solver among those: 0."""
    return 0


def set_solver_count(count: int) -> None:
    """Only 1 is possible."""
    if count != 1:
        refuse("several solvers in one process", _TORCHRUN)


def set_solver_rank(rank: int) -> None:
    """Only 0 is possible."""
    if rank != 0:
        refuse("several solvers in one process", _TORCHRUN)


def set_multiprocess(multiprocess: bool) -> None:
    """Only False is possible."""
    if multiprocess:
        refuse("Caffe's own way to train with several processes", _TORCHRUN)


def has_nccl() -> bool:
    """Whether the class NCCL is there: it is not."""
    return False


def init_log(level: int = 0, *_: object) -> None:
    """Let netdef tell what it does on standard error; `level` is Caffe's: 0 all, 1 warnings, 2 errors."""
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
    logger.setLevel((logging.INFO, logging.WARNING, logging.ERROR)[min(max(int(level), 0), 2)])


def log(message: str) -> None:
    """Write a line into the log."""
    logger.info("%s", message)


def warn(found: Iterable[Diagnostic]) -> None:
    """Write warnings into the log."""
    for diagnostic in found:
        logger.warning("%s: %s", diagnostic.code, diagnostic.message)


def refuse(what: str, help: str = "") -> NoReturn:
    """Say of a part of pycaffe that it is not here.

    Raises:
        NetdefError: ND1001, always.
    """
    raise NetdefError([error("ND1001", f"netdef.pycaffe has no {what}", help=help)])


class NCCL:
    """Refused: Caffe's class that sums gradients of several GPUs."""

    def __init__(self, *_: object) -> None:
        refuse("NCCL", _TORCHRUN)

    @staticmethod
    def new_uid() -> NoReturn:
        """Refused too: what a script asks for first."""
        refuse("NCCL", _TORCHRUN)


class Timer:
    """A stop-watch that waits for the GPU's work. Source: Caffe's benchmark.cpp.

    Attributes:
        ms: milliseconds between the last `start` and `stop`.
    """

    def __init__(self) -> None:
        self.ms = 0.0
        self._began = perf_counter()

    def start(self) -> None:
        """Begin to count."""
        self._began = _now()

    def stop(self) -> None:
        """Set `ms`."""
        self.ms = 1000 * (_now() - self._began)


def _now() -> float:
    if _SETTINGS.gpu and torch.cuda.is_available():
        torch.cuda.synchronize(_SETTINGS.device)
    return perf_counter()


_TORCHRUN = "train with several GPUs by `torchrun … netdef train solver.prototxt`"
