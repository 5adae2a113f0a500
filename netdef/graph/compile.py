"""From a net's message to its Graph: the passes in the order of their work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from netdef.diagnostics import Diagnostic, has_errors, warning
from netdef.graph.decode import decode
from netdef.graph.draft import Draft, Options
from netdef.graph.gradient import propagate, weigh
from netdef.graph.headers import headers
from netdef.graph.infer import infer
from netdef.graph.select import select, states
from netdef.graph.wire import AUTOMATIC, wire
from netdef.ir import Blob, Graph, Node, Phase, Places, verify
from netdef.layers import Block, registry
from netdef.schema.where import Where

PASSES = (headers, select, decode, wire, infer, weigh, propagate)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of a net: the graph, unless an error was found, all that was found, and each node's message by id."""

    graph: Graph | None
    diagnostics: tuple[Diagnostic, ...]
    messages: Mapping[str, Any] = field(default_factory=dict)


def compile_net(message: Any, where: Where, options: Options) -> Compiled:
    """Compile a NetParameter for one phase, level and set of stages. Never raises for what a user wrote."""
    draft = Draft(message, where, options)
    for apply in PASSES:
        draft = apply(draft)
    if not draft.nodes and not draft.dropped:
        draft.found.append(warning("ND0316", "the net has no layers", span=where.span))
    found = tuple(draft.found)
    messages = {layer.id: layer.message for layer in draft.written}
    return Compiled(None if has_errors(found) else verify(_graph(draft)), found, messages)


def states_of(message: Any, where: Where) -> tuple[tuple[Phase, tuple[str, ...]], ...]:
    """The phases and stages that a net is written for: the one it states, else those that its rules speak of."""
    if message.HasField("state") and message.state.HasField("phase"):
        return (("TRAIN" if message.state.phase == 0 else "TEST", tuple(message.state.stage)),)
    return states(headers(Draft(message, where, Options())).written)


def _graph(draft: Draft) -> Graph:
    sources = [node for node in draft.nodes if registry()[node.type].is_source]
    read = {blob.id for node in draft.nodes for blob in node.bottoms}
    tops = [blob for node in draft.nodes for blob in node.tops]
    # Caffe keeps the blobs that nobody read in a std::set, so that net outputs come in the order of their names.
    outputs = sorted((b for b in tops if b.id not in read and b.name != AUTOMATIC), key=lambda b: b.name.encode())
    return Graph(
        draft.message.name,
        draft.phase,
        draft.nodes,
        tuple(blob for node in sources for blob in node.tops),
        tuple(outputs),
        draft.options.path,
        tuple(_aims(draft, {blob.name: blob for blob in tops})),
    )


def _aims(draft: Draft, blobs: Mapping[str, Blob]) -> Iterator[Node]:
    """The losses among the layers that this phase leaves out, with what they read of it."""
    for dropped in draft.dropped:
        message, where = dropped.message, dropped.where
        kind = registry().get(message.type)
        read = tuple(blobs[name] for name in message.bottom if name in blobs)
        if kind and kind.is_loss and read:
            layer = kind.decode(Block(message, where, draft.phase, len(message.bottom), kind.num_tops.low))
            places = Places(where.span, where.field("type"))
            yield Node(message.name, message.name, layer, read, (), propagate=(True,) * len(read), places=places)
