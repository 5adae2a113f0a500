"""Pass: from each layer's message to its decoded layer, and a unique id for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import ClassVar, Self

from netdef.diagnostics import Diagnostic, Edit, Fix, Label, Span, error, warning
from netdef.graph.draft import Draft, Written
from netdef.ir import UNKNOWN, Shape
from netdef.layers import Arity, Block, Layer, registry
from netdef.layers.base import at_least
from netdef.schema.dialects import fork_of_type
from netdef.schema.suggest import certain, nearest
from netdef.schema.upgrade.types import FROM_V0, FROM_V1


@dataclass(frozen=True, slots=True)
class Undecoded(Layer):
    """Stands for a layer of an unknown type, so that its tops are known to the layers after it."""

    num_bottoms: ClassVar[Arity] = at_least(0)
    num_tops: ClassVar[Arity] = at_least(0)
    in_place: ClassVar[bool] = True
    count: int

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Nothing is read but the number of tops."""
        return cls(block.num_tops)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Nothing is known."""
        return (UNKNOWN,) * self.count


Undecoded.type = "?"


def decode(draft: Draft) -> Draft:
    """Decode every layer; an unknown type is an error that names the nearest known one."""
    ids = _ids(draft)
    written = tuple(
        replaced(layer, id=id, layer=_decode_one(draft, layer)) for layer, id in zip(draft.written, ids, strict=True)
    )
    return replaced(draft, written=written)


def _decode_one(draft: Draft, written: Written) -> Layer:
    message = written.message
    kind = registry().get(message.type)
    num_tops = len(message.top)
    if kind is None:
        _reject_type(draft, written)
        kind = Undecoded
    elif kind.is_loss:
        num_tops = max(num_tops, kind.num_tops.low)
    start = len(draft.found)
    layer = kind.decode(Block(message, written.where, draft.phase, len(message.bottom), num_tops, draft.found))
    draft.found[start:] = [_with_stray(found, written) for found in draft.found[start:]]
    return layer


def _with_stray(found: Diagnostic, written: Written) -> Diagnostic:
    """A complaint of what is missing, with a label at the block of another type that was given instead."""
    stray = next((f.name for f, _ in written.message.ListFields() if _is_block(f.name)), None)
    place = written.where.name(stray) if stray else None
    if found.code != "ND0405" or place is None or found.span != written.where.span:
        return found
    return replaced(found, labels=(Label(place, f"{written.message.type} does not read this"),))


def _is_block(name: str) -> bool:
    return name.endswith("_param") and name not in ("transform_param", "loss_param")


def _reject_type(draft: Draft, written: Written) -> None:
    name, where = written.message.type, written.where
    if not name:
        message = f'layer "{written.message.name}" has no type'
        draft.found.append(error("ND0301", message, span=where.span, help='add `type: "Convolution"`, for example'))
        return
    span, what = where.field("type"), f'unknown layer type "{name}"'
    draft.found.append(error("ND0301", what, span=span, help=_advice(name), fix=_mended(name, span)))


def _advice(name: str) -> str:
    """The fork that a type comes from, or the known type of nearly that name."""
    if fork := fork_of_type(name):
        return f"this type is of {fork}; BVLC Caffe has none of that name"
    known = _today(name) or nearest(name, registry())
    return f'did you mean "{known}"?' if known else "`netdef explain ND0301` tells where layers of forks stand"


def _mended(name: str, span: Span | None) -> Fix | None:
    """The type that was meant without doubt; what a fork has is no slip of the pen."""
    known = None if fork_of_type(name) else _today(name) or certain(name, registry())
    return Fix(f'write "{known}"', (Edit(span, f'"{known}"'),)) if known and span else None


def _today(name: str) -> str | None:
    """Today's name of a type of 2013 or 2014 (`conv`, `SOFTMAX_LOSS`)."""
    return FROM_V1.get(FROM_V0[name][0] if name in FROM_V0 else name)


def _ids(draft: Draft) -> list[str]:
    """The layers' names, made unique; a name used again is dubious, since weights are found by it.

    The net's own `input` fields give way to the layers, as Caffe's one layer for them has a name of its own.
    """
    used: Counter[str] = Counter()
    first: dict[str, Written] = {}
    num_inputs = len(draft.message.input)
    layers = [_id(draft, index, used, first) for index in range(num_inputs, len(draft.written))]
    return [_unique(layer.message.name, used) for layer in draft.written[:num_inputs]] + layers


def _id(draft: Draft, index: int, used: Counter[str], first: dict[str, Written]) -> str:
    layer = draft.written[index]
    name = layer.message.name or f"{layer.message.type.lower() or 'layer'}{index}"
    if name in first:
        _warn_duplicate(draft, name, layer, first[name])
    first.setdefault(name, layer)
    return _unique(name, used)


def _unique(name: str, used: Counter[str]) -> str:
    used[name] += 1
    return name if used[name] == 1 else f"{name}#{used[name]}"


def _warn_duplicate(draft: Draft, name: str, layer: Written, first: Written) -> None:
    span = first.where.field("name")
    draft.found.append(
        warning(
            "ND0315",
            f'two layers of the {draft.phase} net are named "{name}"',
            span=layer.where.field("name"),
            labels=(Label(span, "the first one"),) if span else (),
            help="weights are loaded by layer name: the first alone gets them, the other keeps its filler's",
        )
    )
