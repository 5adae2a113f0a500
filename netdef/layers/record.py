"""What a layer's torch and ONNX rules write to: calls recorded by name, so that no layer file imports torch or onnx."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, overload

from netdef.ir import UNKNOWN, ParamSpec, Phase, Shape


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor in a recording or an ONNX graph: its unique name, and its shape where a rule asked for one."""

    name: str
    shape: Shape = field(default=UNKNOWN, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded step.

    Attributes:
        kind: `function` calls `target` (a dotted name) with the arguments; `module` constructs the class `target`
            with them, once, as the submodule `owner`, and calls it on `inputs`; `param` reads a parameter of the node
            `owner`; `item` takes the element `args[1]` of the tuple `args[0]`.
        target: dotted name of the function or class, or the parameter's name.
        args, kwargs: arguments; Values stand for tensors, also inside tuples.
        inputs: the tensors a module is called on.
        owner: id of the node that recorded it.
        result: the tensor (or tuple of tensors) it makes.
    """

    kind: Literal["function", "module", "param", "item"]
    target: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    inputs: tuple[Value, ...]
    owner: str
    result: Value


class TorchRecorder:
    """Records what a node computes in torch, for the FX graph and the ejected source alike.

    `g.nn.Conv2d(3, 64, 7)(x)` makes a submodule, named after the node, and calls it; its parameters bear the names of
    the layer's `ParamSpec`s. `g.F.relu(x)`, `g.torch.add(a, b)` and `g.netdef.lrn_across(x, …)` call functions of
    torch.nn.functional, torch, and netdef.nn; a name with a capital letter is a module, any other a function.
    """

    def __init__(self, node: str, phase: Phase, params: tuple[ParamSpec, ...], fresh: Callable[[str], str]) -> None:
        self.node = node
        self.phase = phase
        self.params = params
        self.calls: list[Call] = []
        self._fresh = fresh
        self.nn = Namespace(self, "torch.nn")
        self.F: Functions = Namespace(self, "torch.nn.functional")
        self.torch: Functions = Namespace(self, "torch")
        self.netdef = Namespace(self, "netdef.nn")

    def param(self, name: str) -> Value:
        """The parameter of this node with that `ParamSpec` name."""
        spec = next(spec for spec in self.params if spec.name == name)
        return self._add("param", name, (), {}, (), spec.shape)

    def item(self, values: Value, index: int) -> Value:
        """Element `index` of a call that returned a tuple."""
        return self._add("item", "getitem", (values, index), {}, ())

    def call(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        """A function call by its dotted name."""
        return self._add("function", target, args, kwargs, ())

    def module(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: tuple[Value, ...]) -> Value:
        """Construct a module and call it."""
        return self._add("module", target, args, kwargs, inputs)

    def _add(
        self,
        kind: Literal["function", "module", "param", "item"],
        target: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: tuple[Value, ...],
        shape: Shape = UNKNOWN,
    ) -> Value:
        result = Value(self._fresh(self.node), shape)
        self.calls.append(Call(kind, target, args, tuple(kwargs.items()), inputs, self.node, result))
        return result


class Functions(Protocol):
    """The names of a Python module of functions alone, each ready to be recorded."""

    def __getattr__(self, name: str) -> Callable[..., Value]:
        """A function that records the call of `name`."""


class Namespace:
    """The names of one Python module, each ready to be recorded: functions in lower case, modules in CamelCase."""

    def __init__(self, recorder: TorchRecorder, prefix: str) -> None:
        self._recorder = recorder
        self._prefix = prefix

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A function that records the call of `name`; for a module, one that returns the function to call it with."""
        target = f"{self._prefix}.{name}"
        recorder = self._recorder

        def function(*args: Any, **kwargs: Any) -> Value:
            return recorder.call(target, args, kwargs)

        def module(*args: Any, **kwargs: Any) -> Callable[..., Value]:
            return lambda *inputs: recorder.module(target, args, kwargs, inputs)

        return module if name[0].isupper() else function


class OnnxBuilder(Protocol):
    """What a layer's ONNX rule may ask for. Values carry shapes; a size of None is dynamic (the batch, mostly)."""

    opset: int
    phase: Phase

    @overload
    def op(self, type: str, /, *inputs: Value | None, outputs: int, **attributes: Any) -> tuple[Value, ...]: ...
    @overload
    def op(self, type: str, /, *inputs: Value | None, **attributes: Any) -> Value: ...
    def op(self, type: str, /, *inputs: Value | None, outputs: int = 0, **attributes: Any) -> Any:
        """Emit a node; None stands for an optional input left out. With `outputs`, a tuple of that many values."""

    def param(self, name: str) -> Value:
        """The initializer that holds this node's parameter of that `ParamSpec` name."""

    def scalar(self, value: float) -> Value:
        """A float constant without axes."""

    def floats(self, values: Sequence[float], shape: Sequence[int] | None = None) -> Value:
        """A float constant, with one axis unless a shape is given."""

    def ints(self, values: Sequence[int]) -> Value:
        """An int64 constant with one axis (axes, shapes, indices)."""

    def integer(self, value: int) -> Value:
        """An int64 constant without axes."""
