"""Layers that walk along time: LSTM, RNN, and one step of an LSTM alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from netdef.ir import Dim, Filler, ParamSpec, Shape, agree, product
from netdef.layers.axes import held
from netdef.layers.base import Arity, Layer, Mismatch, Unsupported, between, exactly, layer
from netdef.layers.block import Block
from netdef.layers.filler import decode_filler
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value


@dataclass(frozen=True, slots=True)
class Recurrent(Layer):
    """What LSTM and RNN share.

    Bottoms: x (T, N, …), cont (T, N) with 0 where a sequence begins and 1 elsewhere, perhaps a static input (N, …),
    and with `expose_hidden` the first state, (1, N, D) each. Tops: (T, N, D), and with `expose_hidden` the last state.
    Without it the state is carried from one forward pass to the next. Source: Caffe's recurrent_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = between(2, 5)
    num_tops: ClassVar[Arity] = between(1, 3)
    label_bottoms: ClassVar[frozenset[int]] = frozenset({1})
    gates: ClassVar[int] = 1
    """Rows of the weights for each hidden value."""
    states: ClassVar[int] = 1
    """Tensors that make up the state."""
    num_output: int
    weight_filler: Filler
    bias_filler: Filler
    expose_hidden: bool
    static: bool

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `recurrent_param`."""
        p = block.sub("recurrent_param")
        exposed = cls.states if p.message.expose_hidden else 0
        _check_arity(block, cls.type, exposed)
        fillers = decode_filler(p.sub("weight_filler")), decode_filler(p.sub("bias_filler"))
        return cls(p.positive("num_output"), *fillers, p.message.expose_hidden, block.num_bottoms > 2 + exposed)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Outputs (T, N, D), then the last state (1, N, D)."""
        steps, streams = _time_and_streams(self.type, *bottoms[:2])
        if self.static:
            _match_static(bottoms[2], streams)
        state = Shape.of(1, streams, self.num_output)
        for i, given in enumerate(bottoms[2 + self.static :], 2 + self.static):
            _match_state(given, state, i)
        held(Shape.of(self.gates * self.num_output, self.num_output), "the weights of the hidden state")
        output = held(Shape.of(steps, streams, self.num_output), "the top")
        return (output, *[state] * (self.states if self.expose_hidden else 0))

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """Weights of the inputs, bias, weights of the static input if there is one, weights of the hidden state."""
        rows = self.gates * self.num_output
        static = (self._weights("weight_static", rows, bottoms[2].count(1)),) if self.static else ()
        return (
            self._weights("weight_x", rows, bottoms[0].count(2)),
            ParamSpec("bias", Shape.of(rows), self.bias_filler),
            *static,
            self._weights("weight_h", rows, self.num_output),
        )

    def _weights(self, name: str, rows: int, columns: Dim) -> ParamSpec:
        return ParamSpec(name, Shape.of(rows, columns), self.weight_filler)

    def cost(self, bottoms: tuple[Shape, ...], tops: tuple[Shape, ...]) -> int | None:
        """The matrix products of all steps, and the static input's."""
        matrices = [spec for spec in self.params(bottoms) if spec.shape.rank == 2]
        each_step = [spec.shape.count() for spec in matrices if spec.name != "weight_static"]
        once = [spec.shape.count() for spec in matrices if spec.name == "weight_static"]
        steps, streams = tops[0].sizes[:2]
        terms = [product((steps, streams, count)) for count in each_step] + [product((streams, n)) for n in once]
        known = [term for term in terms if term is not None]
        return sum(known) if len(known) == len(terms) else None

    def describe(self) -> str:
        """The width, and what is unusual."""
        return f"{self.num_output} outputs" + (", state exposed" if self.expose_hidden else "")

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.LSTM` or `netdef.nn.RNN`."""
        inputs = bottoms[0].shape.count(2)
        static = bottoms[2].shape.count(1) if self.static else 0
        module = getattr(g.netdef, self.type)
        result = module(inputs, self.num_output, static=static, expose_hidden=self.expose_hidden)(*bottoms)
        if not self.expose_hidden:
            return (result,)
        return tuple(g.item(result, i) for i in range(1 + self.states))

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """The steps written out, one behind the other; without `expose_hidden` every run begins with a zero state.

        ONNX's own LSTM and RNN cannot begin a new sequence in the middle.
        """
        x, cont = bottoms[:2]
        steps = x.shape[0]
        if steps is None:
            raise Unsupported(
                f"{self.type} is written out step by step, but its number of steps is unknown",
                help="export with a fixed number of steps (its first axis)",
            )
        flat = x if x.shape.rank == 3 else g.op("Reshape", x, g.ints([0, 0, -1 if x.shape.rank > 3 else 1]))
        projected = g.op("Add", _times(g, flat, "weight_x"), g.param("bias"))
        if self.static:
            static = bottoms[2] if bottoms[2].shape.rank == 2 else g.op("Flatten", bottoms[2], axis=1)
            projected = g.op("Add", projected, _times(g, static, "weight_static"))
        flags = g.op("Reshape", cont, g.ints([0, 0, 1]))
        state = tuple(bottoms[2 + self.static :]) if self.expose_hidden else ()
        hidden = []
        for step, goes_on in zip(_unbound(g, projected, steps), _unbound(g, flags, steps), strict=True):
            state = self._step(g, step, goes_on, state)
            hidden.append(state[0])
        output = self._output(g, g.op("Concat", *hidden, axis=0))
        return (output, *(g.op("Identity", value) for value in state)) if self.expose_hidden else (output,)

    def _step(self, g: OnnxBuilder, step: Value, goes_on: Value, state: tuple[Value, ...]) -> tuple[Value, ...]:
        """The state behind one step; no state stands for zeros."""
        raise NotImplementedError

    def _output(self, g: OnnxBuilder, hidden: Value) -> Value:
        """From the hidden states of all steps to the top."""
        return hidden


@layer("LSTM")
@dataclass(frozen=True, slots=True)
class LSTM(Recurrent):
    """``i, f, o, g = W_x x + b + W_s s + W_h (cont h)``, ``c = cont s(f) c + s(i) tanh(g)``, ``h = s(o) tanh(c)``.

    There s is the sigmoid. Unlike torch's and ONNX's: the gates stand in the order i, f, o, g; one bias; `cont`
    begins sequences anywhere; the state is kept between calls. With `expose_hidden` the given state gets no gradient,
    and that of the last state is ignored, as in Caffe. Source: Caffe's lstm_layer.cpp; Zaremba and Sutskever 2014.
    """

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def _step(self, g: OnnxBuilder, step: Value, goes_on: Value, state: tuple[Value, ...]) -> tuple[Value, ...]:
        h, c = state or (None, None)
        if h is not None:
            step = g.op("Add", step, _times(g, g.op("Mul", goes_on, h), "weight_h"))
        i, f, o, u = g.op("Split", step, g.ints([self.num_output] * 4), outputs=4, axis=2)
        new = g.op("Mul", g.op("Sigmoid", i), g.op("Tanh", u))
        if c is not None:
            kept = g.op("Mul", g.op("Mul", goes_on, g.op("Sigmoid", f)), c)
            new = g.op("Add", kept, new)
        return g.op("Mul", g.op("Sigmoid", o), g.op("Tanh", new)), new


@layer("RNN")
@dataclass(frozen=True, slots=True)
class RNN(Recurrent):
    """``h = tanh(W_x x + b + W_s s + W_h (cont h))``, top ``tanh(W_o h + b_o)``.

    torch's and ONNX's RNN have no output layer. Source: Caffe's rnn_layer.cpp.
    """

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """Those of all recurrent layers, then the output's weights and bias."""
        output = self._weights("weight_o", self.num_output, self.num_output)
        bias = ParamSpec("bias_o", Shape.of(self.num_output), self.bias_filler)
        return (*Recurrent.params(self, bottoms), output, bias)

    def _step(self, g: OnnxBuilder, step: Value, goes_on: Value, state: tuple[Value, ...]) -> tuple[Value, ...]:
        if state:
            step = g.op("Add", step, _times(g, g.op("Mul", goes_on, state[0]), "weight_h"))
        return (g.op("Tanh", step),)

    def _output(self, g: OnnxBuilder, hidden: Value) -> Value:
        return g.op("Tanh", g.op("Add", _times(g, hidden, "weight_o"), g.param("bias_o")))


@layer("LSTMUnit")
@dataclass(frozen=True, slots=True)
class LSTMUnit(Layer):
    """One step of an LSTM's cell. Bottoms: c (1, N, D), gate inputs (1, N, 4 D), cont (1, N). Tops: new c, h.

    Source: Caffe's lstm_unit_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = exactly(3)
    num_tops: ClassVar[Arity] = exactly(2)
    label_bottoms: ClassVar[frozenset[int]] = frozenset({2})

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Nothing to read."""
        return cls()

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Both tops have the cell's shape."""
        c, gates, cont = bottoms
        width = c[2] if c.ranked and c.rank == 3 else None
        streams = c[1] if c.ranked and c.rank == 3 else None
        _expect(c, Shape.of(1, None, None), "the cell state", 0)
        _expect(gates, Shape.of(1, streams, None if width is None else 4 * width), "the gates", 1)
        _expect(cont, Shape.of(1, streams), "the continuation flags", 2)
        return (c, c)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.lstm_unit`."""
        both = g.netdef.lstm_unit(*bottoms)
        return g.item(both, 0), g.item(both, 1)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """The formula, with the gates as four slices."""
        c, gates, cont = bottoms
        width = c.shape[2]
        if width is None:
            raise Unsupported("LSTMUnit needs to know the width of its cell")
        ends = pairwise(range(0, 5 * width, width))
        i, f, o, u = (g.op("Slice", gates, g.ints([a]), g.ints([b]), g.ints([2])) for a, b in ends)
        goes_on = g.op("Reshape", cont, g.ints([0, 0, 1]))
        kept = g.op("Mul", g.op("Mul", goes_on, g.op("Sigmoid", f)), c)
        new = g.op("Add", kept, g.op("Mul", g.op("Sigmoid", i), g.op("Tanh", u)))
        return new, g.op("Mul", g.op("Sigmoid", o), g.op("Tanh", new))


def _check_arity(block: Block, kind: str, exposed: int) -> None:
    bottoms, tops = (2 + exposed, 3 + exposed), 1 + exposed
    if block.num_bottoms in bottoms and block.num_tops == tops:
        return
    state = f", {exposed} for the first state (expose_hidden)" if exposed else ""
    block.reject(
        "ND0462",
        f"{kind} takes {bottoms[0]} or {bottoms[1]} bottoms and {tops} {'top' if tops == 1 else 'tops'} here, "
        f"found {block.num_bottoms} and {block.num_tops}",
        "bottom",
        help=f"bottoms: the inputs, the continuation flags, perhaps a static input{state}",
    )


def _time_and_streams(kind: str, x: Shape, cont: Shape) -> tuple[Dim, Dim]:
    if x.ranked and x.rank < 2:
        raise Mismatch(f"{kind} needs steps and streams as its first two axes, found {x}", bottom=0, code="ND0464")
    first = Shape(x.sizes[:2]) if x.ranked else Shape.of(None, None)
    _expect(cont, first, "the continuation flags (steps x streams)", 1)
    pairs = zip(first.sizes, cont.sizes if cont.ranked else (None, None), strict=True)
    steps, streams = (a if a is not None else b for a, b in pairs)
    return steps, streams


def _match_static(static: Shape, streams: Dim) -> None:
    if static.ranked and (not static.rank or not agree(static[0], streams)):
        found = static[0] if static.rank else "none"
        message = f"the static input must have a row for each of the {streams} streams, found {found} ({static})"
        raise Mismatch(message, bottom=2, other=0, code="ND0468")


def _match_state(given: Shape, state: Shape, bottom: int) -> None:
    _expect(given, state, "the first state", bottom)


def _expect(found: Shape, wanted: Shape, what: str, bottom: int) -> None:
    if not found.ranked:
        return
    if found.rank != wanted.rank or not all(map(agree, found.sizes, wanted.sizes)):
        message = f"{what} must be {wanted}, found {found}"
        raise Mismatch(message, bottom=bottom, other=0 if bottom else None, code="ND0468")


def _times(g: OnnxBuilder, x: Value, weight: str) -> Value:
    return g.op("MatMul", x, g.op("Transpose", g.param(weight), perm=[1, 0]))


def _unbound(g: OnnxBuilder, x: Value, steps: int) -> tuple[Value, ...]:
    return (x,) if steps == 1 else g.op("Split", x, g.ints([1] * steps), outputs=steps, axis=0)
