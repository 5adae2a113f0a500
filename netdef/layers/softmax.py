"""Scores to probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netdef.ir import ITS_TOPS, Keeps, Shape
from netdef.layers.axes import canonical
from netdef.layers.base import Layer, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value


@layer("Softmax")
@dataclass(frozen=True, slots=True)
class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` over one axis, the second unless told otherwise.

    As torch's and ONNX's (since opset 13) of the same name; before opset 13 ONNX flattened all later axes.
    Source: Caffe's softmax_layer.cpp.
    """

    keeps: ClassVar[Keeps] = ITS_TOPS
    in_place: ClassVar[bool] = True
    axis: int = 1

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `softmax_param`."""
        return cls(block.message.softmax_param.axis)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The bottom's shape."""
        (x,) = bottoms
        if x.ranked:
            canonical(self.axis, x)
        return bottoms

    def describe(self) -> str:
        """The axis."""
        return f"axis {self.axis}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.softmax`."""
        return (g.torch.softmax(bottoms[0], dim=self.axis),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Softmax."""
        return (g.op("Softmax", bottoms[0], axis=self.axis),)
