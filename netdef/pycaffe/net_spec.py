"""How does Python code write a net: layers as functions of tops, collected into a NetParameter?"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf.message import Message

from netdef.diagnostics import NetdefError, error
from netdef.schema import netdef_pb2 as pb
from netdef.schema.suggest import nearest

Made = OrderedDict["Function", Any]
"""The LayerParameter of each function, in the order in which they are made."""


class Top:
    """One top of a layer that is being written."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> pb.NetParameter:
        """The net of this top and all that lies before it."""
        return to_proto(self)

    def _to_proto(self, layers: Made, names: dict[Any, str], autonames: Counter[str]) -> None:
        self.fn._to_proto(layers, names, autonames)


class Function:
    """A layer that is being written: its type, its bottoms, and the fields of its message.

    `ntop` is the number of tops (1), `in_place` gives the tops the bottoms' names; all else are fields.

    Raises:
        NetdefError: ND1012, a bottom is no top of another layer.
    """

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: Mapping[str, Any]) -> None:
        self.type_name = type_name
        for index, top in enumerate(inputs):
            if not isinstance(top, Top):
                message = f"bottom {index} of L.{type_name} is no top of a layer, but {top!r}"
                help = "a layer with several tops gives a tuple: unpack it; fields are named: num_output=10"
                raise NetdefError([error("ND1012", message, help=help)])
        self.inputs: tuple[Top, ...] = inputs
        self.params = dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _to_proto(self, layers: Made, names: dict[Any, str], autonames: Counter[str]) -> None:
        if self in layers:
            return
        bottoms = []
        for top in self.inputs:
            top._to_proto(layers, names, autonames)
            bottoms.append(layers[top.fn].top[top.n])
        layer = pb.LayerParameter(type=self.type_name, bottom=bottoms)
        layer.top.extend(bottoms if self.in_place else [self._top_name(top, names, autonames) for top in self.tops])
        layer.name = self._name(names, autonames)
        for name, value in self.params.items():
            _assign(layer, self.type_name, name, value)
        layers[self] = layer

    def _name(self, names: dict[Any, str], autonames: Counter[str]) -> str:
        """The layer's name: its own, that of its first top, or its type with a number."""
        if self not in names:
            names[self] = (
                self._top_name(self.tops[0], names, autonames) if self.tops else _numbered(self.type_name, autonames)
            )
        return names[self]

    def _top_name(self, top: Top, names: dict[Any, str], autonames: Counter[str]) -> str:
        if top not in names:
            names[top] = _numbered(self.type_name, autonames)
        return names[top]


Written = Top | Function


class NetSpec:
    """A net that is being written; each attribute is a top, and gives it and its layer their name.

    The layers come in the order in which the attributes were set, each after those that it needs.
    """

    tops: OrderedDict[str, Written]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Written) -> None:
        """Name a top (or a layer without any)."""
        self.tops[name] = value

    def __getattr__(self, name: str) -> Written:
        """The top of a name."""
        if name not in self.tops:
            raise AttributeError(f"the NetSpec has no top {name!r}")
        return self.tops[name]

    def __setitem__(self, name: str, value: Written) -> None:
        """Name a top by any string."""
        self.tops[name] = value

    def __getitem__(self, name: str) -> Written:
        """The top of a name."""
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        """Leave a top out."""
        del self.tops[name]

    def __delitem__(self, name: str) -> None:
        """Leave a top out."""
        del self.tops[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self.tops)

    def keys(self) -> Any:
        """The names."""
        return self.tops.keys()

    def vals(self) -> Any:
        """The tops."""
        return self.tops.values()

    def update(self, other: NetSpec) -> None:
        """Take over the tops of another net."""
        self.tops.update(other.tops)

    def to_proto(self) -> pb.NetParameter:
        """The net."""
        names: dict[Any, str] = {top: name for name, top in self.tops.items()}
        return _collected(self.tops.values(), names)


class Layers:
    """`L.Type(*bottoms, **fields)` writes a layer: its top, a tuple of several, or the Function if there is none."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A function that writes layers of the type `name`."""
        if name.startswith("__"):
            raise AttributeError(name)

        def write(*bottoms: Any, **fields: Any) -> Any:
            function = Function(name, bottoms, fields)
            return function if not function.tops else function.tops[0] if function.ntop == 1 else function.tops

        return write


class Parameters:
    """`P.Pooling.MAX`: the enum values of layers' messages."""

    def __getattr__(self, name: str) -> Any:
        """The values of one message, by the layer's name."""
        if not hasattr(pb, f"{name}Parameter"):
            raise AttributeError(f"there is no message {name}Parameter")
        return getattr(pb, f"{name}Parameter")


layers = Layers()
params = Parameters()


def to_proto(*tops: Written) -> pb.NetParameter:
    """The net of some tops and all that lies before them; names are made of types and numbers."""
    return _collected(tops, {})


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Set a field from Python: a dict fills a message, a list a repeated field (one value stands for a list of one).

    Raises:
        NetdefError: ND1013, there is no such field, or it does not take the value.
    """
    fields = proto.DESCRIPTOR.fields_by_name
    if name not in fields:
        near = nearest(name, fields)
        message = f"{proto.DESCRIPTOR.name} has no field `{name}`"
        raise NetdefError([error("ND1013", message, help=f"did you mean `{near}`?" if near else "")])
    try:
        _set(proto, name, val, fields[name].is_repeated)
    except (TypeError, ValueError) as fault:
        message = f"`{name}` of {proto.DESCRIPTOR.name} cannot be {val!r}: {fault}"
        raise NetdefError([error("ND1013", message)]) from fault


def _set(proto: Any, name: str, val: Any, repeated: bool) -> None:
    if repeated:
        for item in val if isinstance(val, list | tuple) else [val]:
            _append(getattr(proto, name), item)
    elif isinstance(val, dict):
        for key, value in val.items():
            assign_proto(getattr(proto, name), key, value)
    elif isinstance(val, Message):
        getattr(proto, name).CopyFrom(val)
    else:
        setattr(proto, name, val)


def _append(field: Any, item: Any) -> None:
    if isinstance(item, dict):
        message = field.add()
        for key, value in item.items():
            assign_proto(message, key, value)
    else:
        field.append(item)


def _assign(layer: Any, type_name: str, name: str, value: Any) -> None:
    """A field of the layer's own message if it has one of that name, else of the LayerParameter."""
    own = _own_messages().get(type_name)
    inner = getattr(layer, own) if own and not name.endswith("param") else None
    assign_proto(inner if inner is not None and name in inner.DESCRIPTOR.fields_by_name else layer, name, value)


def param_name_dict() -> dict[str, str]:
    """The field of LayerParameter that holds each type's message, without ``_param`` (InnerProduct: inner_product)."""
    return {kind: field.removesuffix("_param") for kind, field in _own_messages().items()}


@cache
def _own_messages() -> dict[str, str]:
    """The field of LayerParameter that holds each type's message (InnerProduct: inner_product_param)."""
    fields = pb.LayerParameter.DESCRIPTOR.fields
    return {
        field.message_type.name.removesuffix("Parameter"): field.name
        for field in fields
        if field.name.endswith("_param") and field.message_type is not None
    }


def _collected(tops: Any, names: dict[Any, str]) -> pb.NetParameter:
    found: Made = OrderedDict()
    autonames: Counter[str] = Counter()
    for top in tops:
        top._to_proto(found, names, autonames)
    return pb.NetParameter(layer=found.values())


def _numbered(type_name: str, autonames: Counter[str]) -> str:
    autonames[type_name] += 1
    return f"{type_name}{autonames[type_name]}"
