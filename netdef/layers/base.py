"""What every layer type is: one frozen class with its rules for decoding, shape, parameters, cost, torch and ONNX."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar

from netdef.ir import Keeps, ParamSpec, Shape
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value

_C = TypeVar("_C", bound="type[Layer]")


@dataclass(frozen=True, slots=True)
class Arity:
    """How many bottoms or tops a layer takes: `low` to `high`, without an upper bound where `high` is None."""

    low: int
    high: int | None

    def admits(self, count: int) -> bool:
        """Whether `count` is within the bounds."""
        return self.low <= count and (self.high is None or count <= self.high)

    def __str__(self) -> str:
        """``exactly 1``, ``1 to 3``, ``at least 2``."""
        if self.high is None:
            return f"at least {self.low}"
        return f"exactly {self.low}" if self.low == self.high else f"{self.low} to {self.high}"


def exactly(count: int) -> Arity:
    """The arity of a layer with a fixed number of blobs."""
    return Arity(count, count)


def between(low: int, high: int) -> Arity:
    """The arity of a layer with optional blobs."""
    return Arity(low, high)


def at_least(count: int) -> Arity:
    """The arity of a layer without an upper bound."""
    return Arity(count, None)


class Mismatch(Exception):
    """The shapes of a layer's bottoms do not fit it or each other; becomes a diagnostic at the layer's span.

    Attributes:
        bottom: index of the bottom at fault, if one is.
        other: index of the bottom that it clashes with, if there is one.
        code: the diagnostic's code.
        help: what to do.
    """

    def __init__(
        self,
        message: str,
        *,
        bottom: int | None = None,
        other: int | None = None,
        code: str = "ND0304",
        help: str = "",
    ) -> None:
        super().__init__(message)
        self.bottom = bottom
        self.other = other
        self.code = code
        self.help = help


class Unsupported(Exception):
    """A target has no rule for this layer, or not with these fields; becomes a diagnostic at the layer's span."""

    def __init__(self, why: str, *, code: str = "ND0901", help: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.help = help


class Layer(ABC):
    """A layer's decoded fields and its rules.

    A concrete layer is a ``@dataclass(frozen=True, slots=True)`` whose fields hold every default resolved, so that
    no rule ever looks at protobuf again.
    """

    __slots__ = ()

    type: ClassVar[str]
    """Caffe's name of the type; set by `layer`."""
    num_bottoms: ClassVar[Arity] = exactly(1)
    num_tops: ClassVar[Arity] = exactly(1)
    equal_counts: ClassVar[bool] = False
    """Whether there must be as many tops as bottoms (Convolution, for one, works on several blobs alike)."""
    is_source: ClassVar[bool] = False
    """Whether the tops come from outside the graph (data layers and Input)."""
    is_loss: ClassVar[bool] = False
    """Whether the first top counts into the loss with weight 1 unless `loss_weight` says otherwise."""
    in_place: ClassVar[bool] = False
    """Whether Caffe computes it right when a top has a bottom's name."""
    label_bottoms: ClassVar[frozenset[int]] = frozenset()
    """The bottoms that no gradient flows to (labels, indices)."""

    @classmethod
    @abstractmethod
    def decode(cls, block: Block) -> Self:
        """Read the layer's message, resolve defaults, and reject values that cannot be (through `block.reject`)."""

    @abstractmethod
    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Shapes of the tops; unknown sizes are carried through.

        Raises:
            Mismatch: the bottoms do not fit the layer or each other.
        """

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """The parameters the layer owns, in Caffe's order of `blobs`; none by default."""
        return ()

    def cost(self, bottoms: tuple[Shape, ...], tops: tuple[Shape, ...]) -> int | None:
        """Multiply-adds of one forward pass; None where a size is unknown. Element-wise work counts as 0."""
        return 0

    @property
    def keeps(self) -> Keeps:
        """What the forward pass keeps for the backward pass in torch, where most of a step's memory goes."""
        return Keeps()

    def describe(self) -> str:
        """The fields that decide the shape, in a few words, for a label at another layer's error."""
        return ""

    def hint(self, name: str) -> str:
        """What to change in the layer `name` of this kind when its top's size surprises a reader; mostly nothing."""
        return ""

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Record the forward pass in torch.

        Raises:
            Unsupported: there is no such rule.
        """
        raise Unsupported(f"{self.type} has no rule for torch", code="ND0902")

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Emit the forward pass in ONNX.

        Raises:
            Unsupported: it has no meaning in ONNX.
        """
        raise Unsupported(f"{self.type} has no counterpart in ONNX")


_REGISTRY: dict[str, type[Layer]] = {}


def layer(name: str) -> Callable[[_C], _C]:
    """Register a class as the layer type `name`."""

    def register(cls: _C) -> _C:
        if name in _REGISTRY:
            raise ValueError(f"layer type {name} is registered twice")
        cls.type = name
        _REGISTRY[name] = cls
        return cls

    return register


def registry() -> dict[str, type[Layer]]:
    """Every known layer type by Caffe's name."""
    return _REGISTRY
