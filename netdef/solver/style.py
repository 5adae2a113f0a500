"""How is a net computed: where, in which memory format and precision, with what aids?"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from netdef.solver.config import Precision, SolverConfig
from netdef.solver.team import ALONE, Team

AMPERE = 8
"""The first major compute capability with TF32 and with BF16 in its tensor cores (NVIDIA's programming guide)."""


@dataclass(frozen=True, slots=True)
class Style:
    """Where a net computes, in which memory format and precision (never AUTO); compiled, recomputing, recorded or not.

    `in_parts`: whether each of several processes holds a part of every parameter alone.
    """

    device: torch.device
    channels_last: bool = True
    precision: Precision = "FP32"
    compile: bool = False
    checkpoint: bool = False
    cuda_graphs: bool = False
    in_parts: bool = False

    @classmethod
    def of(cls, config: SolverConfig, device: torch.device, team: Team = ALONE) -> Style:
        """What the solver asks for."""
        return cls(
            device,
            config.channels_last,
            precision_on(device, config.precision),
            config.compile,
            config.activation_checkpoint,
            config.cuda_graphs,
            config.parallel == "FSDP" and team.world > 1,
        )

    def plain(self) -> Style:
        """The same, neither compiled, recomputing nor recorded, so that every blob is there to be seen."""
        return replace(self, compile=False, checkpoint=False, cuda_graphs=False)

    @property
    def recorded(self) -> bool:
        """Whether the way forward and back is recorded as it is; a compiled net does so by itself."""
        return self.cuda_graphs and not self.compile and self.device.type == "cuda"

    @property
    def replayed(self) -> bool:
        """Whether the compiled net is recorded and replayed by torch itself."""
        return self.cuda_graphs and self.compile and self.device.type == "cuda"

    def autocast(self) -> AbstractContextManager[Any]:
        """What a forward pass runs inside."""
        short = _SHORT.get(self.precision)
        return nullcontext() if short is None else torch.autocast(self.device.type, short)


def precision_on(device: torch.device, asked: Precision) -> Precision:
    """The number format that is asked for; AUTO leaves it to the device.

    A GPU with TF32 then uses it: torch itself does in convolutions unless it is told, and in FP32 a net would be slower
    than one written by hand without a thought. Products are rounded to 10 bits, weights and updates are not.
    """
    if asked != "AUTO":
        return asked
    modern = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= AMPERE
    return "TF32" if modern else "FP32"


_SHORT = {"BF16": torch.bfloat16, "FP16": torch.float16}
