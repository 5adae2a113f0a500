"""What does a fault of a layer that a user wrote in Python look like: which layer, which exception, which line?"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from netdef.diagnostics import NetdefError, RunError, Span, error
from netdef.ir import Shape
from netdef.layers.base import Mismatch

Sizes = tuple[int, ...]
CHANGING = "where sizes change from batch to batch, train by a script with netdef.pycaffe's solvers"


@dataclass(slots=True)
class Guard:
    """Tells what goes wrong in one layer.

    Attributes:
        module, layer: the Python module and the class in it.
        span: the layer in its net, None outside of one.
        tops: the shapes that the net was made for; empty where nobody says.
        live: whether the layer runs by itself, between blobs that scripts may change: then tops may change their sizes,
            and what it writes into its bottoms stays there.
        seen: the shapes that the last forward gave.
    """

    module: str
    layer: str
    span: Span | None = None
    tops: tuple[Sizes, ...] = ()
    live: bool = False
    seen: tuple[Sizes, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """Module and class."""
        return f"{self.module}.{self.layer}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Turn whatever the user's code raises in the block into a RunError that tells its line."""
        try:
            yield
        except Mismatch as fault:
            raise self.failure(str(fault), code=fault.code, help=fault.help) from fault
        except Exception as fault:
            raise self.failure(what_happened(self.module, self.layer, fault)) from fault

    def failure(self, message: str, *, code: str = "ND0484", help: str | tuple[str, ...] = "") -> RunError:
        """The error at this layer."""
        return RunError([error(code, message, span=self.span, help=help)])

    def demand(self, found: Sequence[Sizes]) -> None:
        """Refuse tops of other sizes than the net was made for; the number of rows may be another."""
        self.seen = tuple(found)
        for index, (sizes, known) in enumerate(zip(found, self.tops, strict=False)):
            if not self.live and (len(sizes) != len(known) or sizes[1:] != known[1:]):
                shapes = f"the shape {Shape(sizes)}, and the net was made for {Shape(known)}"
                raise self.failure(f"{self.name} gave top {index} {shapes}", help=CHANGING)

    @property
    def strays(self) -> str:
        """How the last shapes differ from those that the net was made for, if they do."""
        pairs = [(a, b) for a, b in zip(self.seen, self.tops, strict=False) if a != b and not self.live]
        return "; ".join(f"{self.name} gave {Shape(a)}, and the net was made for {Shape(b)}" for a, b in pairs)


def tensors_of(found: Any, name: str, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tops that a user's torch module gave.

    Raises:
        Mismatch: ND0483, they are no tensors, or not of the blobs' type and device.
    """
    tops = (found,) if isinstance(found, Tensor) else tuple(found) if isinstance(found, tuple | list) else None
    if tops is None or not all(isinstance(top, Tensor) for top in tops):
        kinds = type(found).__name__ if tops is None else ", ".join(type(top).__name__ for top in tops)
        raise Mismatch(f"{name} gives {kinds}, and a tensor for each top is wanted", code="ND0483")
    double = any(bottom.dtype == torch.float64 for bottom in bottoms)
    for index, top in enumerate(tops):
        if not top.is_floating_point() or (top.dtype == torch.float64 and not double):
            message = f"{name} gives top {index} as {top.dtype}, and blobs are torch.float32"
            raise Mismatch(message, code="ND0483", help="return `.float()` of it")
        if bottoms and top.device != bottoms[0].device:
            message = f"{name} gives top {index} on {top.device}, and its bottoms are on {bottoms[0].device}"
            raise Mismatch(message, code="ND0483", help="return `.to(x.device)` of it, `x` being a bottom")
    return tops


def what_happened(module: str, layer: str, fault: Exception) -> str:
    """An exception of the user's code, with the line of the user's module that it came by."""
    text = f"{module}.{layer} raised {described(fault)}"
    frame = place_in(module, fault) or _innermost(fault)
    return f"{text} ({frame.filename}:{frame.lineno}, in {frame.name})" if frame else text


def described(fault: Exception) -> str:
    """An exception in one line: its type and its text, or what a diagnostic says."""
    if isinstance(fault, NetdefError):
        return "; ".join(f"{found.code}: {found.message}" for found in fault.diagnostics)
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return f"{type(fault).__name__}: {' '.join(lines)}" if lines else type(fault).__name__


def place_in(module: str, fault: Exception) -> traceback.FrameSummary | None:
    """The innermost place in a Python module that an exception passed."""
    home = getattr(sys.modules.get(module), "__file__", None)
    inside = [frame for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == home]
    return inside[-1] if inside else None


def _innermost(fault: Exception) -> traceback.FrameSummary | None:
    frames = traceback.extract_tb(fault.__traceback__)
    return frames[-1] if frames else None
