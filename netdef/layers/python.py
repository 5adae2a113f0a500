"""Layers that a user writes in Python. Nothing of theirs is imported unless the user allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

from netdef.diagnostics import Span
from netdef.ir import UNKNOWN, Filler, ParamSpec, Phase, Shape
from netdef.layers.base import Arity, Layer, Mismatch, Unsupported, at_least, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value

NEEDS_CONSENT = "a Python layer runs code of the user's, and that was not allowed"
HOW_TO_ALLOW = "`--allow-python` allows it, in a program `with netdef.allow_python():`; read the code first"


class Host(Protocol):
    """Runs a user's class to learn what its rules are; `netdef.nn.python_host` has one."""

    def shapes(self, layer: Python, bottoms: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        """The shapes of the tops; raises Mismatch (ND0484) for what the class raises."""

    def params(self, layer: Python, bottoms: tuple[tuple[int, ...], ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Names and shapes of the parameters."""

    def is_module(self, layer: Python) -> bool:
        """Whether the class is a torch module, and not one of Caffe's protocol; raises Mismatch (ND0483)."""

    def made(
        self,
        layer: Python,
        bottoms: tuple[tuple[int, ...], ...],
        make: Callable[..., object],
        *,
        span: Span | None,
        tops: tuple[tuple[int, ...], ...],
        live: bool,
    ) -> object:
        """The module that `make` gives, from an object at hand (`ready`) if there is one; it tells faults at `span`.

        It must give `tops` these shapes, but for the number of rows, unless it is `live`: run by itself between blobs
        that scripts may change. Raises RunError (ND0483, ND0484) for what the class raises.
        """


_host: ContextVar[Host | None] = ContextVar("_host", default=None)


@contextmanager
def allowing(host: Host) -> Iterator[None]:
    """Let Python layers that are decoded in the block run their users' code, now and later."""
    token = _host.set(host)
    try:
        yield
    finally:
        _host.reset(token)


@layer("Python")
@dataclass(frozen=True, slots=True)
class Python(Layer):
    """A class of the user's: a torch module, or one with Caffe's `setup`, `reshape`, `forward` and `backward`.

    `python_param { module: "losses" layer: "Focal" param_str: "{gamma: 2}" }` is the class `Focal` of `losses.py`.
    A torch module is made with `param_str` (without an argument where there is none), called with the bottoms, and
    gives a tensor for each top; its parameters are the layer's. A class of Caffe's protocol derives from
    `netdef.pycaffe.Layer`; it works on the CPU. Where it works in place, top and bottom are one blob to it.

    Without consent nothing is imported: shapes stay unknown, and the net cannot be built. Source: Caffe's
    python_layer.hpp and _caffe.cpp.
    """

    num_bottoms: ClassVar[Arity] = at_least(0)
    num_tops: ClassVar[Arity] = at_least(0)
    in_place: ClassVar[bool] = True
    module: str
    layer: str
    param_str: str
    phase: Phase
    count: int
    over: tuple[int, ...] = ()
    host: Host | None = field(default=None, compare=False, repr=False)

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `python_param`; warn where shapes stay unknown for want of consent."""
        p = block.sub("python_param")
        m = p.message
        if not (m.module and m.layer):
            block.reject("ND0482", "a Python layer needs `python_param { module: … layer: … }`", "python_param")
            return cls("", "", "", block.phase, block.num_tops)
        host = _host.get()
        if host is None:
            p.warn("ND0485", f"{m.module}.{m.layer} was not looked into: {NEEDS_CONSENT}", "module", help=HOW_TO_ALLOW)
        names = zip(block.message.bottom, block.message.top, strict=False)
        over = tuple(index for index, (bottom, top) in enumerate(names) if bottom == top)
        return cls(m.module, m.layer, m.param_str, block.phase, block.num_tops, over, host)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """What the class makes of the bottoms; unknown without consent, or where a size is unknown."""
        if self.host is None or not all(shape.known for shape in bottoms):
            return (UNKNOWN,) * self.count
        return tuple(map(Shape, self.host.shapes(self, _sizes(bottoms))))

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """The parameters of the module, or the blobs that `setup` adds, with the values that they begin with there."""
        if self.host is None or not all(shape.known for shape in bottoms):
            return ()
        found = self.host.params(self, _sizes(bottoms))
        return tuple(ParamSpec(name, Shape(sizes), Filler(), preset=True) for name, sizes in found)

    def cost(self, bottoms: tuple[Shape, ...], tops: tuple[Shape, ...]) -> int | None:
        """Not to be known."""
        return None

    def describe(self) -> str:
        """The class."""
        return f"{self.module}.{self.layer}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """The module itself, or `netdef.nn.PythonLayer` around a class of Caffe's protocol."""
        if self.host is None:
            raise Unsupported(NEEDS_CONSENT, code="ND0485", help=HOW_TO_ALLOW)
        if self._is_module(self.host):
            made = g.module(f"{self.module}.{self.layer}", (self.param_str,) if self.param_str else (), {}, bottoms)
        else:
            arguments = (self.module, self.layer, self.param_str, self.phase, self.count)
            sizes = tuple(b.shape.sizes for b in bottoms)
            made = g.netdef.PythonLayer(*arguments, sizes, self.over)(*bottoms)
        return (made,) if self.count == 1 else tuple(g.item(made, i) for i in range(self.count))

    def _is_module(self, host: Host) -> bool:
        try:
            return host.is_module(self)
        except Mismatch as fault:
            raise Unsupported(str(fault), code=fault.code, help=fault.help) from fault

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """There is none."""
        raise Unsupported(
            f"{self.describe()} is Python code, which an ONNX model cannot hold",
            help="export a net without the layer; `--backend torch` predicts with it",
        )


def _sizes(bottoms: tuple[Shape, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(shape.known_sizes() for shape in bottoms)
