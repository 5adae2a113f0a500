"""What the passes work on: a net on its way from messages to a Graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from netdef.diagnostics import Diagnostic
from netdef.ir import Node, Phase, Places, Shape
from netdef.layers import Layer
from netdef.schema.where import Where


class Probed(Protocol):
    """What a data layer's source tells of itself."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...] | None:
        """One for each top; None where the source is not there or cannot be read."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What is wrong with it."""


Probe = Callable[[Layer, str, Places], Probed]
"""Asks a data layer's source for its shapes, given the layer's name and places for what it has to say."""


@dataclass(frozen=True, slots=True)
class Options:
    """What decides which net a file describes.

    Attributes:
        phase: TRAIN or TEST; None takes the net's own `state`, TEST by default.
        level, stages: Caffe's NetState.
        shapes: sizes that the user supplies, by blob name.
        probe: how to ask a database for its shapes; None asks none.
        path: the file, for relative paths and for messages.
    """

    phase: Phase | None = None
    level: int = 0
    stages: tuple[str, ...] = ()
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    probe: Probe | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A layer as written: its LayerParameter, the places of its fields, and, later, its id and decoded layer."""

    message: Any
    where: Where
    id: str = ""
    layer: Layer | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A net between two passes; `written` before wiring, `nodes` after it.

    Attributes:
        message: the NetParameter.
        where: the places of its fields.
        options: which net is asked for.
        phase: the phase, resolved.
        written: the layers that take part, in the order of the file.
        dropped: the layers that the phase, level or stages leave out.
        nodes: the layers wired to each other.
        found: everything found wrong, in the order of finding; all passes add to it.
    """

    message: Any
    where: Where
    options: Options
    phase: Phase = "TEST"
    written: tuple[Written, ...] = ()
    dropped: tuple[Written, ...] = ()
    nodes: tuple[Node, ...] = ()
    found: list[Diagnostic] = field(default_factory=list)
