"""Which shapes and parameters does a layer have that a user wrote in Python? It is run once to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from netdef.diagnostics import Span
from netdef.layers.base import Mismatch
from netdef.layers.python import Python
from netdef.nn.python_faults import Guard, tensors_of, what_happened
from netdef.nn.python_layer import Layer, LayerBlob, Sizes, find_class, set_up
from netdef.nn.python_watch import watch


@dataclass(frozen=True, slots=True)
class Seen:
    """The shapes of the tops, and names and shapes of the parameters."""

    tops: tuple[Sizes, ...]
    params: tuple[tuple[str, Sizes], ...]


_Key = tuple[Any, ...]
_SetUp = tuple[Layer, list[LayerBlob]]


@dataclass(slots=True)
class PythonHost:
    """Runs users' classes; each once for the same fields and bottoms, as shape rules are asked again and again.

    The object whose shapes were asked for becomes that of the first layer that is made, so that `setup` runs once.
    Every method raises Mismatch: ND0483, the class cannot be found or used; ND0484, its code raised an exception.
    """

    _seen: dict[_Key, Seen] = field(default_factory=dict)
    _ready: dict[_Key, _SetUp] = field(default_factory=dict)

    def shapes(self, layer: Python, bottoms: tuple[Sizes, ...]) -> tuple[Sizes, ...]:
        """The shapes of the tops."""
        return self._look(layer, bottoms).tops

    def params(self, layer: Python, bottoms: tuple[Sizes, ...]) -> tuple[tuple[str, Sizes], ...]:
        """Names and shapes of the parameters."""
        return self._look(layer, bottoms).params

    def is_module(self, layer: Python) -> bool:
        """Whether the class is a torch module, and not one of Caffe's protocol."""
        return issubclass(find_class(layer.module, layer.layer), nn.Module)

    def made(
        self,
        layer: Python,
        bottoms: tuple[Sizes, ...],
        make: Callable[..., object],
        *,
        span: Span | None,
        tops: tuple[Sizes, ...],
        live: bool,
    ) -> object:
        """The module that `make` gives, watched."""
        guard = Guard(layer.module, layer.layer, span, tops, live)
        with guard.running():
            ready = self._ready.pop(_key(layer, bottoms), None)
            module = make(ready=ready) if ready else make()
        assert isinstance(module, nn.Module)
        watch(module, guard)
        return module

    def _look(self, layer: Python, bottoms: tuple[Sizes, ...]) -> Seen:
        key = _key(layer, bottoms)
        if key not in self._seen:
            try:
                self._seen[key] = self._first_look(key[0], layer, bottoms)
            except Mismatch:
                raise
            except Exception as fault:
                raise Mismatch(what_happened(layer.module, layer.layer, fault), code="ND0484") from fault
        return self._seen[key]

    def _first_look(self, kind: type[Any], layer: Python, bottoms: tuple[Sizes, ...]) -> Seen:
        if issubclass(kind, nn.Module):
            return _look_at_module(kind, layer, bottoms)
        zeros = [LayerBlob(np.zeros(sizes, np.float32)) for sizes in bottoms]
        made, tops = set_up(kind, layer.param_str, layer.phase, zeros, layer.count, layer.over)
        self._ready[_key(layer, bottoms)] = made, tops
        params = tuple((f"blob{i}", blob.shape) for i, blob in enumerate(made.blobs))
        return Seen(tuple(top.shape for top in tops), params)


def _key(layer: Python, bottoms: tuple[Sizes, ...]) -> _Key:
    """What a look depends on; the class stands for its module and name, as a module may be loaded again."""
    kind = find_class(layer.module, layer.layer)
    return kind, layer.param_str, layer.phase, layer.count, layer.over, bottoms


def _look_at_module(kind: type[nn.Module], layer: Python, bottoms: tuple[Sizes, ...]) -> Seen:
    with torch.random.fork_rng(), torch.no_grad():
        module = kind(*((layer.param_str,) if layer.param_str else ())).train(layer.phase == "TRAIN")
        zeros = [torch.zeros(sizes) for sizes in bottoms]
        tops = tensors_of(module(*zeros), layer.describe(), zeros)
    params = tuple((name, tuple(param.shape)) for name, param in module.named_parameters())
    if len(tops) != layer.count:
        raise Mismatch(f"{layer.describe()} gives {len(tops)} tensors for {layer.count} tops", code="ND0483")
    return Seen(tuple(tuple(top.shape) for top in tops), params)
