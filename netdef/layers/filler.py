"""From Caffe's FillerParameter to the graph's Filler."""

from __future__ import annotations

from math import isfinite
from typing import cast, get_args

from netdef.ir import Filler
from netdef.ir.filler import FillerType, VarianceNorm
from netdef.layers.block import Block
from netdef.schema.suggest import nearest

_TYPES = get_args(FillerType)


def decode_filler(block: Block) -> Filler:
    """Read a FillerParameter (source: Caffe's filler.hpp, GetFiller), with Caffe's demands on its fields."""
    m = block.message
    sparse = int(m.sparse) if m.sparse >= 0 else None
    if m.type not in _TYPES:
        return _reject_type(block)
    if sparse is not None and m.type != "gaussian":
        block.reject("ND0402", f'`sparse` works with the filler "gaussian" alone, not with "{m.type}"', "sparse")
    _check_numbers(block)
    norm = cast(VarianceNorm, block.enum("variance_norm"))
    return Filler(m.type, m.value, m.min, m.max, m.mean, m.std, sparse, norm)


def _check_numbers(block: Block) -> None:
    """What Caffe demands of them, when it draws, in math_functions.cpp."""
    m = block.message
    for name in ("value", "min", "max", "mean", "std"):
        if not isfinite(getattr(m, name)):
            block.reject("ND0426", f"`{name}` must be a finite number, found {getattr(m, name):g}", name)
    if m.type == "uniform" and m.min > m.max:
        block.reject("ND0426", f"`min` must be at most `max` ({m.max:g}), found {m.min:g}", "min")
    if m.type == "gaussian" and m.std < 0:
        block.reject("ND0426", f"`std` must be at least 0, found {m.std:g}", "std")


def _reject_type(block: Block) -> Filler:
    known = nearest(block.message.type, _TYPES)
    help = f'did you mean "{known}"?' if known else "known fillers: " + ", ".join(_TYPES)
    block.reject("ND0403", f'unknown filler type "{block.message.type}"', "type", help=help)
    return Filler()
