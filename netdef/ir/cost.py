"""What a layer or a net costs: parameters, multiply-adds and memory, as far as its sizes are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netdef.ir.shape import Dim

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a net or of a layer; None where a size is unknown.

    Attributes:
        parameters: numbers that are learnt (a frozen one counts, a statistic does not).
        statistics: numbers that BatchNorm keeps.
        multiply_adds: of one forward pass over the whole batch.
        activation_bytes: all blobs, those of an in-place chain once.
    """

    parameters: Dim
    statistics: Dim
    multiply_adds: Dim
    activation_bytes: Dim


@dataclass(frozen=True, slots=True)
class Keeps:
    """What a layer's forward pass keeps for its backward pass in torch.

    Attributes:
        bottoms, tops: whether the blobs themselves.
        extra_bytes: and so many bytes more for each element of its first top (indices, masks).
    """

    bottoms: bool = True
    tops: bool = False
    extra_bytes: int = 0


NOTHING = Keeps(bottoms=False)
ITS_TOPS = Keeps(bottoms=False, tops=True)


def total(sizes: Iterable[Dim]) -> Dim:
    """The sum; None when a term is unknown."""
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)


def float_bytes(count: Dim) -> Dim:
    """The bytes of so many float32 numbers."""
    return None if count is None else count * FLOAT_BYTES
