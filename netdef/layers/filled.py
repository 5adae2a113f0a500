"""Which layer stands for a blob of a deployed net that holds one number everywhere?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netdef.ir import NOTHING, Keeps, Shape
from netdef.layers.base import Arity, Layer, between
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value


@dataclass(frozen=True, slots=True)
class Filled(Layer):
    """A blob that is `value` everywhere. `netdef.graph.filled` makes it of a DummyData or a Power; it is never decoded.

    With `axis`, the size of that axis is the size of axis `rows` of the bottom, whose values do not matter: so a
    constant for each row of a batch is as long as the batch. Without `axis` there is no bottom.
    """

    type: ClassVar[str] = "DummyData"
    num_bottoms: ClassVar[Arity] = between(0, 1)
    keeps: ClassVar[Keeps] = NOTHING

    shape: Shape
    value: float
    axis: int | None = None
    rows: int = 0

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Never asked."""
        raise AssertionError("a DummyData is decoded as DummyData")

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shape as written, with the bottom's rows."""
        return (self.shape if self.axis is None else self.shape.replace(self.axis, bottoms[0][self.rows]),)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.Constant`, or `netdef.nn.filled` where the batch decides."""
        sizes = self.shape.known_sizes()
        if self.axis is None:
            return (g.netdef.Constant(sizes, self.value)(),)
        free = tuple(None if axis == self.axis else size for axis, size in enumerate(sizes))
        return (g.netdef.filled(bottoms[0], free, self.value, self.rows),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Expand."""
        sizes = self.shape.known_sizes()
        if self.axis is None:
            return (g.op("Expand", g.scalar(self.value), g.ints(sizes)),)
        rows = g.op("Slice", g.op("Shape", bottoms[0]), g.ints([self.rows]), g.ints([self.rows + 1]), g.ints([0]))
        parts = [g.ints(sizes[: self.axis])] if self.axis else []
        behind = [g.ints(sizes[self.axis + 1 :])] if self.axis + 1 < len(sizes) else []
        shape = g.op("Concat", *parts, rows, *behind, axis=0) if parts or behind else rows
        return (g.op("Expand", g.scalar(self.value), shape),)
