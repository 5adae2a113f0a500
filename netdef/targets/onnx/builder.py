"""What a layer's ONNX rule writes to: the nodes and constants of one layer, before they get their final names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from netdef.ir import Param, ParamSpec, Phase, Shape
from netdef.layers.record import Value

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Op:
    """One ONNX node to be; "" stands for an input that is left out."""

    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[tuple[str, Any], ...]


class Builder:
    """Collects what one layer emits; satisfies `netdef.layers.record.OnnxBuilder`.

    `fresh` makes a name unique in the model, `initializers` maps the param's id to its tensor's name.
    """

    def __init__(
        self,
        node: str,
        specs: tuple[ParamSpec, ...],
        params: tuple[Param, ...],
        initializers: dict[str, str],
        *,
        opset: int,
        phase: Phase,
        fresh: Callable[[str], str],
    ) -> None:
        self.opset = opset
        self.phase = phase
        self.ops: list[Op] = []
        self.constants: dict[str, Array] = {}
        self._node = node
        self._params = {spec.name: (spec, param) for spec, param in zip(specs, params, strict=True)}
        self._initializers = initializers
        self._fresh = fresh

    def op(self, type: str, /, *inputs: Value | None, outputs: int = 0, **attributes: Any) -> Any:
        """Emit a node; its values get passing names, `layer/Type`."""
        results = tuple(self._fresh(f"{self._node}/{type}") for _ in range(max(outputs, 1)))
        names = [value.name if value else "" for value in inputs]
        while names and not names[-1]:
            names.pop()
        given = tuple((key, value) for key, value in sorted(attributes.items()) if value is not None)
        self.ops.append(Op(type, tuple(names), results, given))
        values = tuple(Value(name) for name in results)
        return values if outputs else values[0]

    def param(self, name: str) -> Value:
        """The parameter's initializer; reshaped where the layer shares one that is stored in another shape."""
        spec, param = self._params[name]
        value = Value(self._initializers[param.id], param.spec.shape)
        if spec.shape.dims == param.spec.shape.dims:
            return value
        reshaped = self.op("Reshape", value, self.ints(spec.shape.known_sizes()))
        return Value(reshaped.name, spec.shape)

    def scalar(self, value: float) -> Value:
        """A float constant without axes."""
        return self._constant(np.array(value, np.float32))

    def floats(self, values: Sequence[float], shape: Sequence[int] | None = None) -> Value:
        """A float constant, with one axis unless a shape is given."""
        array = np.array(values, np.float32)
        return self._constant(array if shape is None else array.reshape(tuple(shape)))

    def ints(self, values: Sequence[int]) -> Value:
        """An int64 constant with one axis."""
        return self._constant(np.array(values, np.int64).reshape(-1))

    def integer(self, value: int) -> Value:
        """An int64 constant without axes."""
        return self._constant(np.array(value, np.int64))

    def _constant(self, array: Array) -> Value:
        for name, known in self.constants.items():
            if known.dtype == array.dtype and known.shape == array.shape and known.tobytes() == array.tobytes():
                return Value(name, Shape(array.shape))
        name = self._fresh(f"{self._node}/constant")
        self.constants[name] = array
        return Value(name, Shape(array.shape))
