"""How a parameter (or a DummyData blob) gets its first values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netdef.ir.shape import Shape

FillerType = Literal["constant", "uniform", "gaussian", "positive_unitball", "xavier", "msra", "bilinear"]
VarianceNorm = Literal["FAN_IN", "FAN_OUT", "AVERAGE"]


@dataclass(frozen=True, slots=True)
class Filler:
    """Caffe's FillerParameter with its defaults resolved; `sparse` is None where no sparseness is asked for."""

    type: FillerType = "constant"
    value: float = 0.0
    min: float = 0.0
    max: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    sparse: int | None = None
    variance_norm: VarianceNorm = "FAN_IN"

    def misfit(self, shape: Shape) -> str:
        """Why the filler cannot make a blob of this shape, as far as that is known; empty where it can."""
        if self.type != "bilinear" or not shape.ranked:
            return ""
        height, width = shape.sizes[-2:] if shape.rank == _KERNEL_AXES else (0, 1)
        fits = shape.rank == _KERNEL_AXES and (height == width or None in (height, width))
        return "" if fits else f"the bilinear filler makes square kernels with 4 axes, and this blob is {shape}"


_KERNEL_AXES = 4
ZERO = Filler()
ONE = Filler(value=1.0)
