"""What may stand in a message? Protobuf's descriptors as tables that bind fast."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

# What a value is called when it is written wrongly, by protobuf's C++ type.
_KINDS = {
    FieldDescriptor.CPPTYPE_INT32: "int",
    FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_UINT32: "int",
    FieldDescriptor.CPPTYPE_UINT64: "int",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_ENUM: "enum",
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_MESSAGE: "message",
}
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a field takes.

    Attributes:
        name: the field's name.
        kind: ``int``, ``float``, ``bool``, ``enum``, ``string``, ``bytes`` or ``message``.
        repeated: whether it may stand more than once.
        low: smallest integer that it holds; 0 for other kinds.
        high: largest integer that it holds; 0 for other kinds.
        enum: its names and numbers, where it is an enum.
        message: its type, where it is a message.
    """

    name: str
    kind: str
    repeated: bool
    low: int
    high: int
    enum: EnumDescriptor | None
    message: Descriptor | None


@dataclass(frozen=True, slots=True)
class MessageRule:
    """What a message takes: its fields by name, and the names of those that must be there."""

    name: str
    fields: dict[str, FieldRule]
    required: tuple[str, ...]


@cache
def rule(descriptor: Descriptor) -> MessageRule:
    """The table of one message type."""
    fields = {field.name: _field(field) for field in descriptor.fields}
    return MessageRule(descriptor.name, fields, tuple(f.name for f in descriptor.fields if f.is_required))


def _field(field: Any) -> FieldRule:  # typeshed lacks is_repeated and is_required
    kind = _KINDS[field.cpp_type]
    if field.type == FieldDescriptor.TYPE_BYTES:
        kind = "bytes"
    low, high = _RANGES.get(field.cpp_type, (0, 0))
    return FieldRule(field.name, kind, field.is_repeated, low, high, field.enum_type, field.message_type)


@cache
def names_by_number(enum: EnumDescriptor) -> dict[int, str]:
    """An enum's names by number; protobuf's own table takes a number past 32 bits for another one."""
    return {value.number: value.name for value in reversed(enum.values)}
