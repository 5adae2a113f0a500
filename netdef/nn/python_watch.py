"""Which of a net's layers in Python is to blame for what was raised while the net ran?"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from netdef.diagnostics import RunError
from netdef.nn.python_faults import CHANGING, Guard, described, place_in, tensors_of, what_happened
from netdef.nn.python_layer import PythonLayer

_GUARD = "_netdef_guard"
_OF_AUTOGRAD = re.compile(r"unction (\w+)Backward returned")
"""What torch says of an autograd.Function whose gradients are too few, or of another shape."""


def watch(child: nn.Module, guard: Guard) -> None:
    """Let `guard` tell what goes wrong in a user's module.

    A torch module's class becomes a subclass of the user's, so that its parameters keep their names. What torch.compile
    sees is the user's forward alone.
    """
    if isinstance(child, PythonLayer):
        child.guard = guard
        return
    kind = type(child)

    def forward(self: nn.Module, *bottoms: Tensor) -> Any:
        if torch.compiler.is_compiling():
            return _single(kind.forward(self, *bottoms))
        with guard.running():
            found = _single(kind.forward(self, *bottoms))
            tops = tensors_of(found, guard.name, bottoms)
        guard.demand([tuple(top.shape) for top in tops])
        return found

    child.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    setattr(child, _GUARD, guard)


def blamed(net: nn.Module, fault: Exception) -> RunError | None:
    """The error for what was raised while `net` ran, where a layer of the user's is to blame; None where none is.

    Of what a layer's own forward raises its guard told already: this is for gradients of a torch module, and for layers
    that could not take what one before them gave.
    """
    modules = [guard for child in net.modules() if (guard := getattr(child, _GUARD, None))]
    suspects = [guard for guard in modules if _is_of(guard.module, fault)]
    if suspects:
        first = suspects[0] if len(suspects) == 1 else Guard(suspects[0].module, "|".join(s.layer for s in suspects))
        return first.failure(what_happened(first.module, first.layer, fault))
    strays = next((guard for guard in (*modules, *_guards_of_layers(net)) if guard.strays), None)
    return strays.failure(f"{strays.strays}: {described(fault)}", help=CHANGING) if strays else None


def _is_of(module: str, fault: Exception) -> bool:
    """Whether an exception came by a Python module, or is about gradients of one of its functions."""
    named = _OF_AUTOGRAD.search(str(fault))
    return place_in(module, fault) is not None or (named and hasattr(sys.modules.get(module), named[1])) is True


def _guards_of_layers(net: nn.Module) -> Iterator[Guard]:
    return (child.guard for child in net.modules() if isinstance(child, PythonLayer))


def _single(found: Any) -> Any:
    """One tensor where a tuple holds nothing else: a layer of one top is called for it."""
    return found[0] if isinstance(found, tuple | list) and len(found) == 1 else found
