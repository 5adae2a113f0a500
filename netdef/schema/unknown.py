"""What was meant by a field name that its message does not have?"""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor, FileDescriptor

from netdef.diagnostics import Diagnostic, error
from netdef.schema.dialects import fork_of_field
from netdef.schema.rules import MessageRule, rule
from netdef.schema.scalars import replace
from netdef.schema.suggest import certain, nearest
from netdef.text.cst import Field, Message, Scalar

_BLOCK = "_param"


def unknown(field: Field, levels: tuple[Descriptor, ...], siblings: tuple[Field, ...]) -> Diagnostic:
    """ND0201 for `field`; `levels` are the message types around it, the whole file's first.

    Looks for the name in the blocks of this message (those of the layer's own type first), in the messages
    around, then for a name spelled nearly so here, then for the name anywhere in the schema.
    """
    if len(field.name) > 1:
        return _extension(field)
    table, key = rule(levels[-1]), field.key
    if fork := fork_of_field(key):
        return _foreign(field, table.name, fork)
    label, help_ = _replaced(key, table.name) or _belongs(field, levels, siblings)
    names = tuple(table.fields)
    near, sure = (None, None) if label else (_meant(key, table, siblings), certain(key, names))
    if near:
        label, help_ = f"did you mean `{near}`?", ""
    elif not label:
        label, help_ = _elsewhere(key, levels[-1])
    return error(
        "ND0201",
        f"{table.name} has no field `{key}`",
        span=field.name_span,
        label=label,
        help=help_ or (),
        fix=replace(f"write {sure}", field.name_span, sure) if sure and sure == near else None,
    )


def _foreign(field: Field, message: str, fork: str) -> Diagnostic:
    return error(
        "ND0201",
        f"{message} has no field `{field.key}`",
        span=field.name_span,
        label="a fork's",
        help=f"this field is of {fork}; BVLC Caffe has none of that name",
    )


# Fields of `layers`, the form of 2014, and what says the same in `layer`.
_REPLACED = {
    "blobs_lr": "param { lr_mult: … }",
    "weight_decay": "param { decay_mult: … }",
    "blob_share_mode": "param { share_mode: … }",
}


def _replaced(key: str, message: str) -> tuple[str, str] | None:
    """Label and help for a field of old layers in a layer of today."""
    if message != "LayerParameter" or key not in _REPLACED:
        return None
    return "the form of 2014", f"write `{_REPLACED[key]}`, one for each array of the layer"


def _belongs(field: Field, levels: tuple[Descriptor, ...], siblings: tuple[Field, ...]) -> tuple[str, str]:
    """Label and help where a block in this message, or a message around it, has the field."""
    key = field.key
    blocks = [f.name for f in rule(levels[-1]).fields.values() if f.message and _has(f.message, field)]
    own = [name for name in blocks if _plain(name.removesuffix("_param")) in _types(siblings)]
    if chosen := own or blocks:
        names = [f"`{name}`" for name in chosen]
        return f"belongs into {_either(names)}", f"write `{chosen[0]} {{ {key}: … }}`"
    for depth, outer in enumerate(reversed(levels[:-1]), 1):
        if key in rule(outer).fields:
            return f"belongs to {outer.name}, {_steps(depth)} out", "is a `}` missing before it?"
    return "", ""


def _has(message: Descriptor, field: Field) -> bool:
    """Whether a message has the field, and takes a block for it where one is written, a value where one is."""
    known = rule(message).fields.get(field.key)
    return known is not None and (known.message is not None or not isinstance(field.value, Message))


def _types(siblings: tuple[Field, ...]) -> list[str]:
    """The layer's own type as its parameter block would be spelled, from a ``type`` beside the field."""
    values = [f.value for f in siblings if f.key == "type" and isinstance(f.value, Scalar)]
    return [_plain(value.tokens[0].text.strip("\"'")) for value in values]


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _either(names: list[str]) -> str:
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} others"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _steps(depth: int) -> str:
    return "one level" if depth == 1 else f"{depth} levels"


def _meant(key: str, table: MessageRule, siblings: tuple[Field, ...]) -> str | None:
    """The field that was probably meant: by its message type (``ConvolutionParameter { … }``), or its spelling.

    What all blocks of layers end in makes none of them like another one; ``conv_param`` is the block of the layer's
    own type rather than ``loss_param``.
    """
    by_type = next((f.name for f in table.fields.values() if f.message and f.message.name == key), None)
    if by_type or not key.endswith(_BLOCK):
        return by_type or nearest(key, table.fields)
    blocks = {name.removesuffix(_BLOCK): name for name in table.fields if name.endswith(_BLOCK)}
    own = next((name for stem, name in blocks.items() if _plain(stem) in _types(siblings)), None)
    return blocks.get(nearest(key.removesuffix(_BLOCK), blocks) or "") or own


def _elsewhere(key: str, here: Descriptor) -> tuple[str, str]:
    """Label and help from the rest of the schema: who has the field, or which fields there are here."""
    if homes := _homes(here.file).get(key):
        return f"is a field of {_either(list(homes))}", ""
    names = list(rule(here).fields)
    return "unknown", f"{here.name} has: {', '.join(names)}" if len(names) <= 20 else ""


@cache
def _homes(file: FileDescriptor) -> dict[str, tuple[str, ...]]:
    """By field name, the message types that have it."""
    found: dict[str, tuple[str, ...]] = {}
    for message in file.message_types_by_name.values():
        for name in rule(message).fields:
            found[name] = (*found.get(name, ()), message.name)
    return found


def _extension(field: Field) -> Diagnostic:
    return error(
        "ND0210",
        f"`{field.key}` is an extension or Any name, and the schema has none",
        span=field.name_span,
        help="write a plain field name",
    )
