"""A recording as statements: what is computed in between is written where it is read, if only there."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from netdef.layers.record import Call, Value
from netdef.targets.fuse import reads
from netdef.targets.source.code import Code, Infix, atom, call, keyword, row, text
from netdef.targets.source.names import attribute

_METHODS = frozenset({"flatten", "detach", "squeeze", "unsqueeze", "reshape", "unflatten", "t", "tile", "clone"})
"""Functions of torch that read better as methods of their first argument."""

_SCALED = ("weight", "bias")
"""The parameters of a Scale, and the names by which `netdef.nn.BatchNorm` takes them."""

_OPERATORS = {"torch.add": "+", "torch.sub": "-", "torch.mul": "*"}

_POOLING = {"kernel_size": ..., "stride": ..., "padding": 0, "dilation": 1, "ceil_mode": False}
_SIGNATURES: dict[str, dict[str, Any]] = {
    "torch.nn.functional.max_pool2d": _POOLING,
    "torch.nn.functional.avg_pool2d": {
        **{name: default for name, default in _POOLING.items() if name != "dilation"},
        "count_include_pad": True,
        "divisor_override": None,
    },
}
"""Parameters behind the first and their defaults, of functions of torch that cannot be asked for them."""


@dataclass(frozen=True, slots=True)
class Statement:
    """``targets = code``; no target where only what it does counts. `owner` is the node it belongs to."""

    targets: tuple[str, ...]
    code: Code
    owner: str


@dataclass(slots=True)
class Writer:
    """Turns calls into statements.

    Attributes:
        names: the local variable of each value.
        modules: the submodule's name of each node.
        params: the names of each node's parameters.
        blobs: the values that are blobs: they get a variable.
        wanted: the values that `forward` returns.
    """

    names: Mapping[str, str]
    modules: Mapping[str, str]
    params: Mapping[str, tuple[str, ...]]
    blobs: frozenset[str]
    wanted: frozenset[str]
    pending: dict[str, Code] = field(default_factory=dict)

    def statements(self, calls: Iterable[Call]) -> Iterator[Statement]:
        """One statement for each call whose value has a variable."""
        unpacked = _unpacked(tuple(calls))
        taken_apart = {item.result.name for items in unpacked.values() for item in items}
        alive = _alive(calls, self.wanted)
        readers = Counter(value.name for one in alive for value in reads(one))
        owners = {value.name: one.owner for one in alive for value in reads(one)}
        used = readers.keys() | self.wanted
        for one in alive:
            name = one.result.name
            inner = one.kind == "param" or (readers[name] == 1 and owners[name] == one.owner)
            if name in unpacked:
                items = [item.result.name for item in unpacked[name]]
                yield Statement(
                    tuple(self.names[item] if item in used else "_" for item in items), self.code(one), one.owner
                )
            elif inner and name not in self.blobs:
                self.pending[name] = self.code(one)
            elif name not in taken_apart:
                yield Statement((self.names[name],) if name in used else (), self.code(one), one.owner)

    def code(self, one: Call) -> Code:
        """The expression of one call."""
        if one.kind == "param":
            return self.parameter(one.owner, one.target)
        if one.kind == "item":
            return f"{atom(self.argument(one.args[0]))}[{one.args[1]}]"
        if one.kind == "module":
            return call(attribute(self.modules[one.owner]), self._inputs(one) if one.inputs else ())
        return self._function(one)

    def _inputs(self, one: Call) -> list[Code]:
        """What a module is called on; the parameters of a Scale that a BatchNorm has taken in, in one word."""
        first, *others = map(self.argument, one.inputs)
        for node, names in self.params.items():
            if names == _SCALED and others == [self.parameter(node, name) for name in names]:
                return [first, f"**{attribute(self.modules[node])}"]
        return [first, *others]

    def parameter(self, node: str, name: str) -> str:
        """A parameter of a node that has no module of torch's."""
        return f"{attribute(self.modules[node])}[{text(name)}]"

    def argument(self, value: Any) -> Code:
        """A recorded argument; `Any`, because rules record what torch takes."""
        if isinstance(value, Value):
            return self.pending.get(value.name) or self.names[value.name]
        if isinstance(value, tuple | list):
            return row(map(self.argument, value), "()" if isinstance(value, tuple) else "[]")
        return constant(value)

    def _function(self, one: Call) -> Code:
        args = tuple(map(self.argument, one.args))
        named = tuple(keyword(name, self.argument(value)) for name, value in one.kwargs)
        module, _, name = one.target.rpartition(".")
        if one.target in _OPERATORS and len(args) == 2 and not named:
            return Infix(args[0], _OPERATORS[one.target], args[1])
        if module == "torch" and name in _METHODS:
            return call(f"{atom(args[0])}.{name}", (*args[1:], *named))
        if one.target in _SIGNATURES:
            named = tuple(self._spelled(tuple(_SIGNATURES[one.target].items())[2:], one.args[3:], dict(one.kwargs)))
            return call(short(one.target), (*args[:3], *named))
        if module == "netdef.nn":
            first = next((i for i, value in enumerate(one.args) if i and not isinstance(value, Value)), len(args))
            rest = tuple(_parameters(name).items())[first:]
            return call(name, (*args[:first], *self._spelled(rest, one.args[first:], dict(one.kwargs))))
        return call(short(one.target), (*args, *named))

    def _spelled(
        self, parameters: tuple[tuple[str, Any], ...], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[Code]:
        """Arguments by keyword, without those that are the default."""
        given = dict(zip((name for name, _ in parameters), args, strict=False)) | kwargs
        defaults = dict(parameters)
        for name, value in given.items():
            if isinstance(value, Value) or type(value) is not type(defaults.get(name)) or value != defaults[name]:
                yield keyword(name, self.argument(value))


def constructor(one: Call) -> Code:
    """The expression that makes a module."""
    defaults = _parameters(one.target.rpartition(".")[2]) if one.target.startswith("netdef.nn.") else {}
    named = [
        keyword(name, constant(value))
        for name, value in one.kwargs
        if not (name in defaults and type(value) is type(defaults[name]) and value == defaults[name])
    ]
    return call(short(one.target), (*map(constant, one.args), *named))


def constant(value: Any) -> Code:
    """A literal; `Any`, because modules take what they take."""
    if isinstance(value, tuple | list):
        return row(map(constant, value), "()" if isinstance(value, tuple) else "[]")
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float) and value - value != 0:
        return f'float("{value}")'
    return repr(value)


def short(target: str) -> str:
    """A dotted name as the file's imports have it."""
    module, _, name = target.rpartition(".")
    prefix = {"torch.nn.functional": "F.", "torch.nn": "nn.", "torch": "torch.", "netdef.nn": ""}[module]
    return prefix + name


@cache
def _parameters(name: str) -> dict[str, Any]:
    """The parameters of a function or class of netdef.nn, and their defaults."""
    found = inspect.signature(getattr(import_module("netdef.nn"), name)).parameters
    return {parameter.name: parameter.default for parameter in found.values()}


def _alive(calls: Iterable[Call], wanted: frozenset[str]) -> list[Call]:
    """The calls that something needs; a module is called for its own sake, as it may keep statistics or a state."""
    needed = set(wanted)
    alive = []
    for one in reversed(tuple(calls)):
        if one.kind == "module" or one.result.name in needed:
            needed.update(value.name for value in reads(one))
            alive.append(one)
    return alive[::-1]


def _unpacked(calls: tuple[Call, ...]) -> dict[str, list[Call]]:
    """The calls whose tuple is taken apart whole at once, by the tuple's name: its items in order."""
    items: dict[str, list[Call]] = {}
    for one in calls:
        if one.kind == "item":
            items.setdefault(one.args[0].name, []).append(one)
    others = {value.name for one in calls if one.kind != "item" for value in reads(one)}
    return {
        name: found
        for name, found in items.items()
        if len(found) > 1 and name not in others and [one.args[1] for one in found] == list(range(len(found)))
    }
