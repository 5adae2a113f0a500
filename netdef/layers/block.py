"""What a layer decodes itself from: a protobuf message, the places of its fields, and a list to put findings in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from netdef.diagnostics import Diagnostic, Span, error, warning
from netdef.ir import Phase
from netdef.schema.where import Where


@dataclass(frozen=True, slots=True)
class Block:
    """A layer's message (or one inside it) on its way to become a layer.

    Attributes:
        message: the protobuf message; `Any`, because each layer type reads another one.
        where: the places of its fields in the text.
        phase: the phase of the net that is being built.
        num_bottoms, num_tops: how many blobs the layer names.
        found: what was found wrong; shared by all blocks of one net.
    """

    message: Any
    where: Where
    phase: Phase = "TRAIN"
    num_bottoms: int = 0
    num_tops: int = 0
    found: list[Diagnostic] = field(default_factory=list)

    def sub(self, name: str, index: int = 0) -> Block:
        """The block of a message field: of its `index`-th message where it is repeated."""
        value = getattr(self.message, name)
        if self.message.DESCRIPTOR.fields_by_name[name].is_repeated:
            value = value[index]
        return Block(value, self.where.sub(name, index), self.phase, self.num_bottoms, self.num_tops, self.found)

    def has(self, name: str) -> bool:
        """Whether a singular field is set."""
        return bool(self.message.HasField(name))

    def enum(self, name: str) -> str:
        """The name of an enum field's value (``MAX``)."""
        kind = self.message.DESCRIPTOR.fields_by_name[name].enum_type
        return str(kind.values_by_number[getattr(self.message, name)].name)

    def place(self, name: str | None = None, index: int = 0) -> Span | None:
        """Where a field's value is written; where the block begins when it is not."""
        return self.where.span if name is None else self.where.field(name, index)

    def reject(self, code: str, message: str, name: str | None = None, index: int = 0, *, help: str = "") -> None:
        """Note an error at the value of the field `name` (or at the block); decoding goes on with any value."""
        self.found.append(error(code, message, span=self.place(name, index), help=help))

    def warn(self, code: str, message: str, name: str | None = None, index: int = 0, *, help: str = "") -> None:
        """Note something dubious that Caffe would accept."""
        self.found.append(warning(code, message, span=self.place(name, index), help=help))

    def positive(self, name: str) -> int:
        """The value of an integer field that must be at least 1; 1 in its place otherwise, so that decoding goes on."""
        value = int(getattr(self.message, name))
        if value < 1:
            self.reject("ND0401", f"`{name}` must be at least 1, found {value}", name)
        return max(value, 1)
