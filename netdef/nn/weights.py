"""Weights for a file that stands alone."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import torch
from torch import Tensor


def load_weights(path: str) -> dict[str, Tensor]:
    """The float32 tensors of a .safetensors file: 8 bytes tell how long its JSON header is, the values come behind."""
    with Path(path).open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        values = bytearray(file.read())
    header.pop("__metadata__", None)
    weights = {}
    for name, about in header.items():
        start, count = about["data_offsets"][0], prod(about["shape"])
        weights[name] = torch.frombuffer(values, dtype=torch.float32, count=count, offset=start).reshape(about["shape"])
    return weights
