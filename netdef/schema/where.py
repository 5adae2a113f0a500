"""Where in the text does each part of a message stand?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netdef.diagnostics import Source, Span
from netdef.text import cst

# The field as written, its value there (one item of a list), and the places inside it if it is a message.
Place = tuple[cst.Field, cst.Scalar | cst.Message, "Where | None"]


@dataclass(frozen=True, slots=True)
class Where:
    """The places of one message's fields, parallel to the message; spans are worked out when asked for.

    Attributes:
        source: the text, or None for a message that never had one.
        opener: the field whose value the message is; None for a whole file.
        places: by field name, one place for each value in order.
    """

    source: Source | None
    opener: cst.Field | None = None
    places: Mapping[str, list[Place]] = field(default_factory=dict, repr=False)

    @classmethod
    def nowhere(cls) -> Where:
        """The places of a message that was not read from a text: every span of it is None."""
        return _NOWHERE

    @property
    def span(self) -> Span | None:
        """The name of the field that opens the message; the start of the text for a whole file."""
        if self.opener is not None:
            return self.opener.name_span
        return Span(self.source, 0, 0) if self.source is not None else None

    def has(self, name: str) -> bool:
        """Whether the text sets the field `name` (a repeated field: at least once)."""
        return name in self.places

    def field(self, name: str, index: int = 0) -> Span | None:
        """The value of a field, of a repeated one that at `index`. The message's span where it is unset."""
        place = self._place(name, index)
        return place[1].span if place else self.span

    def name(self, name: str, index: int = 0) -> Span | None:
        """The name of a field as it stands before its value. The message's span where it is unset."""
        place = self._place(name, index)
        return place[0].name_span if place else self.span

    def sub(self, name: str, index: int = 0) -> Where:
        """The places of a message within this one; these places themselves where it is unset."""
        place = self._place(name, index)
        return place[2] or self if place else self

    def alias(self, name: str, index: int, *others: str) -> Where:
        """The places of a message that is made of one field alone: each of `others` stands where that field does."""
        place = self._place(name, index)
        return Where(self.source, place[0], {other: [place] for other in others}) if place else self

    def _place(self, name: str, index: int) -> Place | None:
        found = self.places.get(name)
        # One value may stand for many (`kernel_size: 3` for all axes), so the last serves for all behind it.
        return found[index if index < len(found) else -1] if found else None


_NOWHERE = Where(None)
