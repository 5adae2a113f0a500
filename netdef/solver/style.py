"""How is a net computed: where, in which memory format and precision, with what aids?"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from netdef.solver.config import SolverConfig
from netdef.solver.team import ALONE, Team


@dataclass(frozen=True, slots=True)
class Style:
    """Where a net computes, in which memory format and precision; compiled, recomputing, recorded or not.

    `in_parts`: whether each of several processes holds a part of every parameter alone.
    """

    device: torch.device
    channels_last: bool = True
    precision: Literal["FP32", "TF32", "BF16", "FP16"] = "FP32"
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
            config.precision,
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


_SHORT = {"BF16": torch.bfloat16, "FP16": torch.float16}
