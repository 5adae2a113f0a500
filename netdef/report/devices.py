"""Which devices can train here, and what can they do?"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from netdef.solver.style import AMPERE

_PASCAL_HALF = (5, 3)
"""The first compute capability with arithmetic in FP16 (the same guide)."""


@dataclass(frozen=True, slots=True)
class Processor:
    """The machine's own processor. torch uses `threads`; what the system does not tell is None."""

    name: str
    cores: int
    threads: int
    memory_bytes: int | None
    free_bytes: int | None
    bf16: bool


@dataclass(frozen=True, slots=True)
class Gpu:
    """A CUDA device; `number` is what `--gpu` takes. The three flags say which `precision` its hardware has."""

    number: int
    name: str
    capability: str
    memory_bytes: int
    free_bytes: int
    tf32: bool
    bf16: bool
    fp16: bool


@dataclass(frozen=True, slots=True)
class Devices:
    """All that can train; `why_no_gpu` says what is missing where there is none."""

    torch: str
    cuda: str | None
    processor: Processor
    gpus: tuple[Gpu, ...]
    why_no_gpu: str

    def as_json(self) -> dict[str, Any]:
        """The devices as plain data."""
        return asdict(self)


def find_devices() -> Devices:
    """Look what is there."""
    gpus = tuple(_gpu(number) for number in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    return Devices(torch.__version__, torch.version.cuda, _processor(), gpus, "" if gpus else _why())


def _processor() -> Processor:
    memory = _memory()
    capability = torch.backends.cpu.get_cpu_capability()
    flags = _proc("/proc/cpuinfo").get("flags", "")
    return Processor(
        name=_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        memory_bytes=memory[0],
        free_bytes=memory[1],
        bf16="avx512_bf16" in flags or "amx_bf16" in flags or "BF16" in capability,
    )


def _gpu(number: int) -> Gpu:
    properties = torch.cuda.get_device_properties(number)
    major, minor = properties.major, properties.minor
    free, whole = torch.cuda.mem_get_info(number)
    modern = major >= AMPERE
    half = (major, minor) >= _PASCAL_HALF
    return Gpu(number, properties.name, f"{major}.{minor}", whole, free, tf32=modern, bf16=modern, fp16=half)


def _why() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch was built without CUDA"
    return "torch finds no CUDA device: no NVIDIA driver, no GPU, or CUDA_VISIBLE_DEVICES hides it"


def _name() -> str:
    """The processor's name; the kind of machine where the system has no better word."""
    return _proc("/proc/cpuinfo").get("model name") or platform.processor() or platform.machine()


def _memory() -> tuple[int | None, int | None]:
    """All memory, and what is free, in bytes."""
    told = _proc("/proc/meminfo")
    sizes = [int(told[key].split()[0]) * 1024 if key in told else None for key in ("MemTotal", "MemAvailable")]
    if sizes[0] is None:
        with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf, macOS no free pages
            sizes[0] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return sizes[0], sizes[1]


def _proc(path: str) -> dict[str, str]:
    """The first value under each key of one of Linux's tables; nothing elsewhere."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines))
    return {key.strip(): value.strip() for key, _, value in pairs}
