"""How does the tree of a text become a typed message that knows its places?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.message_factory import GetMessageClass

from netdef.diagnostics import Diagnostic, Source, error
from netdef.schema.rules import FieldRule, rule
from netdef.schema.scalars import Refused, decode, given_twice, replace, wanted, written
from netdef.schema.unknown import unknown
from netdef.schema.where import Place, Where
from netdef.text.cst import Document, Field, ListValue, Message, Scalar, TokenKind

M = TypeVar("M", bound=ProtobufMessage)


@dataclass(frozen=True, slots=True)
class Bound(Generic[M]):
    """A message, the places of its fields in the text, and all that was found wrong.

    Fields with a fault are left out of `message` and `where`.
    """

    message: M
    where: Where
    diagnostics: tuple[Diagnostic, ...] = ()


def bind(document: Document, message_type: type[M]) -> Bound[M]:
    """Read a text's tree as a message, with the meaning that protobuf's own text parser gives it.

    Every fault is reported in one run, but what a syntax error already covers (tokens of kind ERROR).
    """
    message, found = message_type(), list[Diagnostic]()
    where = _Level(message, (), document.source, found).fill(document.fields, None)
    return Bound(message, where, tuple(found))


class _Level:
    """One message being filled: `outer` are the types around it, `found` takes the diagnostics."""

    __slots__ = ("found", "levels", "message", "places", "seen", "source", "table")

    def __init__(self, message: Any, outer: tuple[Descriptor, ...], source: Source, found: list[Diagnostic]) -> None:
        self.message = message
        self.levels = (*outer, message.DESCRIPTOR)
        self.table = rule(message.DESCRIPTOR)
        self.source = source
        self.found = found
        self.places: dict[str, list[Place]] = {}
        self.seen: dict[str, Field] = {}

    def fill(self, fields: tuple[Field, ...], opener: Field | None) -> Where:
        """Set the message's fields; `opener` is the field whose value it is."""
        for field in fields:
            entry = self.table.fields.get(field.name[0].text)
            if entry is None:
                self._unknown(field, fields)
            elif entry.name in self.seen and not entry.repeated:
                self._again(entry, field)
            else:
                self.seen[entry.name] = field
                self._field(entry, field)
        where = Where(self.source, opener, self.places)
        if self.table.required:
            self._check_required(where)
        return where

    def _field(self, entry: FieldRule, field: Field) -> None:
        value = field.value
        if not isinstance(value, ListValue):
            self._value(entry, field, value)
        elif entry.repeated and entry.message and value.items and all(isinstance(i, Scalar) for i in value.items):
            self.found.append(_wrong_shape(entry, value))
        elif entry.repeated:
            for item in value.items:
                self._value(entry, field, item)
        else:
            self.found.append(_list_for_one(entry, value))

    def _value(self, entry: FieldRule, field: Field, value: Scalar | Message) -> None:
        if isinstance(value, Message):
            if entry.message is None:
                self.found.append(_wrong_shape(entry, value))
            else:
                self._place(entry, field, value, self._block(entry, field, value))
        elif entry.message is not None:
            if not _broken(value):
                self.found.append(_wrong_shape(entry, value))
        else:
            self._scalar(entry, field, value)

    def _block(self, entry: FieldRule, field: Field, value: Message) -> Where:
        child = getattr(self.message, entry.name)
        if entry.repeated:
            child = child.add()
        else:
            child.SetInParent()
        return _Level(child, self.levels, self.source, self.found).fill(value.fields, field)

    def _scalar(self, entry: FieldRule, field: Field, value: Scalar) -> None:
        try:
            decoded = decode(entry, value)
        except Refused as refused:
            if not _broken(value):
                self.found.append(refused.diagnostic)
            return
        if entry.repeated:
            getattr(self.message, entry.name).append(decoded)
        else:
            setattr(self.message, entry.name, decoded)
        self._place(entry, field, value, None)

    def _place(self, entry: FieldRule, field: Field, value: Scalar | Message, inside: Where | None) -> None:
        self.places.setdefault(entry.name, []).append((field, value, inside))

    def _again(self, entry: FieldRule, field: Field) -> None:
        """A second value for a field that takes one: refused, but a block's own faults are told too."""
        self.found.append(given_twice(entry, field.name_span, self.seen[entry.name].name_span))
        if entry.message and isinstance(field.value, Message):
            spare = GetMessageClass(entry.message)()
            _Level(spare, self.levels, self.source, self.found).fill(field.value.fields, field)

    def _unknown(self, field: Field, siblings: tuple[Field, ...]) -> None:
        if not any(token.kind is TokenKind.ERROR for token in field.name):
            self.found.append(unknown(field, self.levels, siblings))

    def _check_required(self, where: Where) -> None:
        missing = [f"`{name}`" for name in self.table.required if name not in self.seen]
        if missing:
            message = f"{self.table.name} needs {' and '.join(missing)}"
            self.found.append(error("ND0207", message, span=where.span, label="not given in this block"))


def _broken(scalar: Scalar) -> bool:
    """Whether the parser has already said what is wrong here."""
    return any(token.kind is TokenKind.ERROR for token in scalar.tokens)


def _wrong_shape(entry: FieldRule, value: Scalar | Message | ListValue) -> Diagnostic:
    return error(
        "ND0203",
        f"`{entry.name}` takes {wanted(entry)}, found {written(value)}",
        span=value.open.span if isinstance(value, Message) else value.span,
        label=f"expected {wanted(entry)}",
        help=f"write `{entry.name} {{ {_inside(entry, value)} }}`" if entry.message else f"write `{entry.name}: …`",
    )


def _inside(entry: FieldRule, value: Scalar | Message | ListValue) -> str:
    """The field of the block that the value was probably meant for, with it (`phase: TRAIN`, `dim: [1, 3]`)."""
    assert entry.message is not None
    fields = rule(entry.message).fields.values()
    if isinstance(value, ListValue):
        takers = [f.name for f in fields if f.repeated]
    else:
        takers = [f.name for f in fields if f.enum and value.span.text in f.enum.values_by_name]
    return f"{takers[0]}: {value.span.text}" if len(takers) == 1 and len(value.span.text) < 40 else "…"


def _list_for_one(entry: FieldRule, value: ListValue) -> Diagnostic:
    single = value.items[0].span.text if len(value.items) == 1 else None
    return error(
        "ND0209",
        f"`{entry.name}` takes one value, found a list of {len(value.items)}",
        span=value.span,
        label=f"expected {wanted(entry)}",
        fix=replace("take the brackets away", value.span, single) if single else None,
    )
