"""How a parameter (or a DummyData blob) gets its first values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


ZERO = Filler()
ONE = Filler(value=1.0)
