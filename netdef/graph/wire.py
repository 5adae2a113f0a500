"""Pass: from blob names to SSA: every top is a new value, and every bottom is the value its name has at that line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from google.protobuf.message import Message

from netdef.diagnostics import Label, Span, error
from netdef.diagnostics.words import counted
from netdef.graph.draft import Draft, Written
from netdef.ir import UNKNOWN, Blob, Node, Places
from netdef.layers import Arity
from netdef.schema.suggest import nearest

LEFT_OUT = "left out by its include or exclude rules"
"""What a label says of the layer whose top is missing."""

AUTOMATIC = "(automatic)"
"""Caffe's name of the top that a loss layer gets when none is written; it is no output of the net."""


def wire(draft: Draft) -> Draft:
    """Join the layers by their blobs (Caffe's net.cpp, AppendTop and AppendBottom)."""
    wiring = _Wiring(draft, Counter(name for layer in draft.written for name in layer.message.top))
    return replace(draft, nodes=tuple(wiring.node(layer) for layer in draft.written))


@dataclass(slots=True)
class _Wiring:
    draft: Draft
    productions: Counter[str]
    current: dict[str, Blob] = field(default_factory=dict)
    producers: dict[str, Written] = field(default_factory=dict)
    produced: Counter[str] = field(default_factory=Counter)

    def node(self, layer: Written) -> Node:
        assert layer.layer is not None
        _check_arity(self.draft, layer)
        bottoms = tuple(self._bottom(layer, i, name) for i, name in enumerate(layer.message.bottom))
        tops = tuple(self._top(layer, i, name) for i, name in enumerate(layer.message.top))
        if not tops and layer.layer.is_loss:
            tops = (Blob(f"{layer.id}{AUTOMATIC}", AUTOMATIC, UNKNOWN),)
        return Node(layer.id, layer.message.name, layer.layer, bottoms, tops, places=_places(layer))

    def _bottom(self, layer: Written, index: int, name: str) -> Blob:
        if name not in self.current:
            self._reject_bottom(layer, index, name)
            self.current[name] = Blob(name, name, UNKNOWN)
        return self.current[name]

    def _top(self, layer: Written, index: int, name: str) -> Blob:
        self.produced[name] += 1
        in_place = index < len(layer.message.bottom) and layer.message.bottom[index] == name
        if name in self.producers and not in_place:
            self._reject_top(layer, index, name)
        elif in_place and layer.layer and not layer.layer.in_place:
            self._reject_in_place(layer, index, name)
        last = self.produced[name] == self.productions[name]
        blob = Blob(name if last else f"{name}@{layer.id}", name, UNKNOWN)
        self.current[name] = blob
        self.producers.setdefault(name, layer)
        return blob

    def _reject_bottom(self, layer: Written, index: int, name: str) -> None:
        help, labels = self._explain_unknown(layer, name)
        message = f'{_called(layer)} reads "{name}", which no layer before it writes'
        span = layer.where.field("bottom", index)
        self.draft.found.append(error("ND0302", message, span=span, labels=labels, help=help))

    def _explain_unknown(self, reader: Written, name: str) -> tuple[str, tuple[Label, ...]]:
        elsewhere = _writer(self.draft.dropped, name)
        if elsewhere:
            help = f'the layer that writes it, "{elsewhere.message.name}", takes no part in phase {self.draft.phase}'
            return help, _label(elsewhere.where.span, LEFT_OUT)
        later = _writer(self.draft.written, name)
        if later is reader:
            return "it writes that itself: in place, too, a layer before it must have written it", ()
        if later:
            return "move the layer that writes it up", _label(later.where.field("top"), "written only here")
        namesake = next((n for n in self.draft.written if n.message.name == name and n.message.top), None)
        if namesake:
            tops = " and ".join(f'"{top}"' for top in namesake.message.top)
            return f"that is the name of a layer, whose top is {tops}", _label(namesake.where.field("top"), "the blob")
        known = nearest(name, self.current)
        return (f'did you mean "{known}"?' if known else "no blob has a name like it"), ()

    def _reject_top(self, layer: Written, index: int, name: str) -> None:
        first = self.producers[name]
        self.draft.found.append(
            error(
                "ND0303",
                f'"{name}" is written twice, by {_both(first, layer)}',
                span=layer.where.field("top", index),
                labels=_label(first.where.field("top", list(first.message.top).index(name)), "written here first"),
                help="give one of them another name; in place, the bottom at the same index must have the name",
            )
        )

    def _reject_in_place(self, layer: Written, index: int, name: str) -> None:
        message = f'{layer.message.type} cannot work in place: "{name}" is both its bottom and its top'
        span = layer.where.field("top", index)
        self.draft.found.append(error("ND0306", message, span=span, help="give the top a name of its own"))


def _check_arity(draft: Draft, layer: Written) -> None:
    kind = layer.layer
    assert kind is not None
    bottoms, tops = len(layer.message.bottom), len(layer.message.top)
    _check_count(draft, layer, "bottom", bottoms, kind.num_bottoms)
    if tops or not kind.is_loss:
        _check_count(draft, layer, "top", tops, kind.num_tops)
    fits = kind.num_bottoms.admits(bottoms) and kind.num_tops.admits(tops)
    if kind.equal_counts and bottoms != tops and fits:
        message = f'{kind.type} "{layer.message.name}" has {counted(bottoms, "bottom")} and {counted(tops, "top")}; '
        message += "it needs as many of both"
        draft.found.append(error("ND0305", message, span=layer.where.span))


def _check_count(draft: Draft, layer: Written, what: str, count: int, arity: Arity) -> None:
    if arity.admits(count):
        return
    ending = "" if (arity.high or arity.low) == 1 else "s"
    message = f'{layer.message.type} "{layer.message.name}" takes {arity} {what}{ending}, found {count}'
    extra = arity.high is not None and count > arity.high
    span = layer.where.field(what, arity.high or 0) if extra else layer.where.span
    help = f"remove the surplus `{what}`" if extra else f'add `{what}: "…"`'
    draft.found.append(error("ND0305", message, span=span, help=help))


def _called(layer: Written) -> str:
    """What a message calls a layer: its name, or its type where it has none."""
    return f'"{layer.message.name}"' if layer.message.name else f"a {layer.message.type} layer without a name"


def _both(first: Written, second: Written) -> str:
    return f"{_called(first)} itself" if first is second else f"{_called(first)} and {_called(second)}"


def _writer(layers: Iterable[Written], name: str) -> Written | None:
    return next((layer for layer in layers if name in layer.message.top), None)


def _label(span: Span | None, text: str) -> tuple[Label, ...]:
    return (Label(span, text),) if span else ()


def _places(layer: Written) -> Places:
    field: Callable[[str, int], Span | None] = layer.where.field
    return Places(
        layer.where.span,
        field("type", 0),
        tuple(field("bottom", i) for i in range(len(layer.message.bottom))),
        tuple(field("top", i) for i in range(len(layer.message.top))),
        dict(_parameters(layer)) if layer.layer is not None and layer.layer.is_source else {},
    )


def _parameters(layer: Written) -> Iterator[tuple[str, Span]]:
    """The fields in a layer's parameter messages, `source` in `data_param` for one, and where their values stand."""
    for outer, value in layer.message.ListFields():
        if isinstance(value, Message):
            where = layer.where.sub(outer.name)
            for inner, _ in value.ListFields():
                span = where.field(inner.name) if where.has(inner.name) else None
                if span is not None:
                    yield inner.name, span
