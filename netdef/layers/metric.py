"""Measures of how well a net does, which no gradient comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from netdef.ir import NOTHING, SCALAR, UNKNOWN, Keeps, Shape
from netdef.layers.base import Arity, Layer, Mismatch, Unsupported, between, exactly, layer
from netdef.layers.block import Block
from netdef.layers.loss import match_labels
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value


@layer("Accuracy")
@dataclass(frozen=True, slots=True)
class Accuracy(Layer):
    """The share of labels whose score is among the best `top_k`; a second top gets it for each class.

    Another class with an equal score counts as better. Source: Caffe's accuracy_layer.cpp.
    """

    keeps: ClassVar[Keeps] = NOTHING
    num_bottoms: ClassVar[Arity] = exactly(2)
    num_tops: ClassVar[Arity] = between(1, 2)
    label_bottoms: ClassVar[frozenset[int]] = frozenset({0, 1})
    top_k: int
    axis: int
    ignore_label: int | None
    count: int = 1

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `accuracy_param`."""
        p = block.sub("accuracy_param")
        ignore = int(p.message.ignore_label) if p.has("ignore_label") else None
        return cls(p.positive("top_k"), p.message.axis, ignore, block.num_tops)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """A scalar, and one value for each class."""
        scores, labels = bottoms
        match_labels(scores, labels, self.axis)
        if not scores.ranked:
            return (SCALAR, UNKNOWN)[: self.count]
        classes = scores[self.axis]
        if classes is not None and self.top_k > classes:
            raise Mismatch(f"top_k is {self.top_k}, but there are only {classes} classes", bottom=0, code="ND0459")
        return (SCALAR, Shape.of(classes))[: self.count]

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.accuracy` and `netdef.nn.class_accuracy`."""
        args: tuple[Any, ...] = (*bottoms, self.axis, self.top_k, self.ignore_label)
        overall = g.netdef.accuracy(*args)
        return (overall,) if self.count == 1 else (overall, g.netdef.class_accuracy(*args))

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """None: an exported net has no labels."""
        raise Unsupported("Accuracy serves training alone", help="export the deploy form, without labels")
