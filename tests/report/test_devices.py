"""Are the devices those that the system and torch tell of?"""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from netdef.report.devices import find_devices


def test_the_processor_is_this_one() -> None:
    processor = find_devices().processor
    assert processor.threads == torch.get_num_threads()
    assert 1 <= processor.cores <= (os.cpu_count() or 1)
    if processor.memory_bytes is not None:
        assert processor.memory_bytes > (processor.free_bytes or 0)


@pytest.mark.parametrize(
    ("capability", "tf32", "bf16", "fp16"),
    [((9, 0), True, True, True), ((7, 5), False, False, True), ((5, 2), False, False, False)],
    ids=["H200", "T4", "GTX 980"],
)
def test_what_a_gpu_is_fast_in(
    capability: tuple[int, int], tf32: bool, bf16: bool, fp16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = SimpleNamespace(name="A GPU", major=capability[0], minor=capability[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (3, 4))
    (gpu,) = find_devices().gpus
    assert (gpu.number, gpu.name, gpu.capability) == (0, "A GPU", f"{capability[0]}.{capability[1]}")
    assert (gpu.free_bytes, gpu.memory_bytes) == (3, 4)
    assert (gpu.tf32, gpu.bf16, gpu.fp16) == (tf32, bf16, fp16)


def test_where_there_is_no_gpu_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_devices().gpus == ()
    assert "CUDA" in find_devices().why_no_gpu
