"""Layers that multiply by a matrix: InnerProduct, and Embed, which looks up its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from netdef.diagnostics.words import counted
from netdef.ir import UNKNOWN, Dim, Filler, ParamSpec, Shape, product
from netdef.layers.axes import canonical, held
from netdef.layers.base import Layer, layer
from netdef.layers.block import Block
from netdef.layers.filler import decode_filler
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value
from netdef.layers.window import required


@layer("InnerProduct")
@dataclass(frozen=True, slots=True)
class InnerProduct(Layer):
    """``y = x W^T + b``, x being the bottom with all axes from `axis` on laid in a row of K values.

    Shapes: bottom ``leading x K`` (K over any number of axes), weight ``num_output x K``, or ``K x num_output`` with
    `transpose`; top ``leading x num_output``. torch's Linear and ONNX's Gemm flatten nothing.
    Source: Caffe's inner_product_layer.cpp.
    """

    num_output: int
    bias_term: bool
    axis: int
    transpose: bool
    weight_filler: Filler
    bias_filler: Filler

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `inner_product_param`."""
        param = block.sub("inner_product_param")
        m = param.message
        fillers = decode_filler(param.sub("weight_filler")), decode_filler(param.sub("bias_filler"))
        return cls(required(param, "num_output", 10), m.bias_term, m.axis, m.transpose, *fillers)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """``leading x num_output``."""
        (x,) = bottoms
        held(self._weight(x), "the weight")
        if x.ranked:
            leading = x.sizes[: canonical(self.axis, x)]
        elif self.axis >= 0:
            leading = (None,) * self.axis
        else:
            return (UNKNOWN,)
        return (held(Shape((*leading, self.num_output)), "the top"),)

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """The weight, and a bias of `num_output` values."""
        weight = ParamSpec("weight", self._weight(bottoms[0]), self.weight_filler)
        bias = ParamSpec("bias", Shape.of(self.num_output), self.bias_filler)
        return (weight, bias) if self.bias_term else (weight,)

    def cost(self, bottoms: tuple[Shape, ...], tops: tuple[Shape, ...]) -> int | None:
        """K for each value of the top."""
        return product((tops[0].count(), self._columns(bottoms[0])))

    def describe(self) -> str:
        """The number of outputs."""
        return counted(self.num_output, "output")

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`torch.nn.Linear`, or `F.linear` with a transposed weight."""
        (x,) = bottoms
        axis = canonical(self.axis, x.shape)
        if axis < x.shape.rank - 1:
            x = g.torch.flatten(x, axis)
        if not self.transpose:
            linear = g.nn.Linear(self._columns(bottoms[0].shape), self.num_output, **self._bias_option())
            return (linear(x),)
        bias = g.param("bias") if self.bias_term else None
        return (g.F.linear(x, g.torch.t(g.param("weight")), bias),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Gemm on two axes, MatMul and Add on any other number."""
        (x,) = bottoms
        axis, rank = canonical(self.axis, x.shape), x.shape.rank
        if axis == 1:
            return (self._gemm(g, x if rank == 2 else g.op("Flatten", x, axis=1)),)
        if axis < rank - 1:
            x = g.op("Reshape", x, g.ints([*[0] * axis, -1]))
        weight = g.param("weight")
        y = g.op("MatMul", x, weight if self.transpose else g.op("Transpose", weight, perm=[1, 0]))
        return (g.op("Add", y, g.param("bias")) if self.bias_term else y,)

    def _gemm(self, g: OnnxBuilder, x: Value) -> Value:
        inputs = (x, g.param("weight"), *([g.param("bias")] if self.bias_term else []))
        return g.op("Gemm", *inputs, transB=0 if self.transpose else 1)

    def _bias_option(self) -> dict[str, bool]:
        return {} if self.bias_term else {"bias": False}

    def _columns(self, bottom: Shape) -> Dim:
        return bottom.count(canonical(self.axis, bottom)) if bottom.ranked else None

    def _weight(self, bottom: Shape) -> Shape:
        columns = self._columns(bottom)
        return Shape.of(columns, self.num_output) if self.transpose else Shape.of(self.num_output, columns)


@layer("Embed")
@dataclass(frozen=True, slots=True)
class Embed(Layer):
    """``y[...] = W[x[...]] + b``: each value of the bottom is an index, and picks a row.

    Shapes: bottom of any shape, weight ``input_dim x num_output``, top ``bottom's shape x num_output``. The indices are
    floats; no gradient flows to them. torch's Embedding has no bias. Source: Caffe's embed_layer.cpp.
    """

    label_bottoms = frozenset({0})

    num_output: int
    input_dim: int
    bias_term: bool
    weight_filler: Filler
    bias_filler: Filler

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `embed_param`."""
        param = block.sub("embed_param")
        sizes = required(param, "num_output", 128), required(param, "input_dim", 1000)
        fillers = decode_filler(param.sub("weight_filler")), decode_filler(param.sub("bias_filler"))
        return cls(*sizes, param.message.bias_term, *fillers)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """One axis more."""
        (x,) = bottoms
        held(Shape.of(self.input_dim, self.num_output), "the weight")
        return (held(Shape((*x.sizes, self.num_output)), "the top"),) if x.ranked else (UNKNOWN,)

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """The rows, and a bias of `num_output` values."""
        weight = ParamSpec("weight", Shape.of(self.input_dim, self.num_output), self.weight_filler)
        bias = ParamSpec("bias", Shape.of(self.num_output), self.bias_filler)
        return (weight, bias) if self.bias_term else (weight,)

    def describe(self) -> str:
        """The sizes of the table."""
        return f"{self.input_dim} rows of {self.num_output}"

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.embed`."""
        (x,) = bottoms
        rows = g.netdef.embed(x, g.param("weight"))
        return (g.torch.add(rows, g.param("bias")) if self.bias_term else rows,)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Gather."""
        rows = g.op("Gather", g.param("weight"), g.op("Cast", bottoms[0], to=7), axis=0)
        return (g.op("Add", rows, g.param("bias")) if self.bias_term else rows,)
