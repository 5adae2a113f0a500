"""How does a layer of 2014 (`layers { type: CONVOLUTION blobs_lr: 1 … }`) read today?"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from netdef.diagnostics import Diagnostic, error
from netdef.schema import netdef_pb2 as pb
from netdef.schema.dialects import fork_of_type
from netdef.schema.rules import names_by_number
from netdef.schema.scalars import integer
from netdef.schema.scalars import replace as replacing
from netdef.schema.suggest import certain, nearest
from netdef.schema.upgrade import tree
from netdef.schema.upgrade.types import FROM_V1, TRANSFORMED, TRANSFORMS
from netdef.text.cst import Field, Message, Scalar, TokenKind

# The lists that stand in one `param` block for each array today, and what they are called there.
_LISTS = {"param": "name", "blob_share_mode": "share_mode", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}


def upgrade_layer(layer: Message, found: list[Diagnostic]) -> Message:
    """The layer's message in today's schema; `found` takes what has no place there."""
    layer = _move_transform(layer)
    specs = _specs(layer)
    fields: list[Field] = []
    for field in layer.fields:
        if _is_listed(field):
            fields, specs = [*fields, *specs], []
        elif field.key == "type" and isinstance(field.value, Scalar):
            fields.append(_type(field, field.value, found))
        else:
            fields.append(field)
    return Message(layer.open, tuple(fields), layer.close)


def _type_name(value: Scalar) -> str:
    """The type in capitals, which may be written as its number."""
    text = tree.text(value)
    if value.tokens[0].kind is not TokenKind.INTEGER:
        return text
    types: Any = pb.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"]
    return names_by_number(types).get(integer(text), text)


def _type(field: Field, value: Scalar, found: list[Diagnostic]) -> Field:
    old = _type_name(value)
    kind, new = value.tokens[0].kind, FROM_V1.get(old)
    if kind is TokenKind.ERROR:  # the parser has said what is wrong
        return field
    if new is None or kind is TokenKind.STRING:
        found.append(_unknown_type(value, old))
    if kind is TokenKind.STRING:
        return field
    return tree.with_token(field, value, TokenKind.STRING, f'"{old if new is None else new}"')


def _unknown_type(value: Scalar, old: str) -> Diagnostic:
    if value.tokens[0].kind is TokenKind.STRING:
        near = nearest(old, FROM_V1)
        advice = "a type in quotes belongs to `layer { … }`; `layers { … }` is the form of 2014"
    else:
        near, advice = nearest(old, FROM_V1), "the types of `layers { … }` are names in capitals"
    fork = fork_of_type(old)
    if fork:
        near, advice = None, f"this type is of {fork}; BVLC Caffe has none of that name"
    sure = None if fork else certain(old, FROM_V1)
    return error(
        "ND0220",
        f"`layers` knows no type {''.join(token.text for token in value.tokens)}",
        span=value.span,
        label=f"did you mean `{near}`?" if near else "",
        help=advice,
        fix=replacing(f"write {sure}", value.span, sure) if sure else None,
    )


def _is_listed(field: Field) -> bool:
    return field.key in _LISTS and not isinstance(field.value, Message)


def _specs(layer: Message) -> list[Field]:
    """The `param` blocks that the layer's lists amount to."""
    lists = {name: tree.values(layer, name) for name in _LISTS}
    listed = [f for f in layer.fields if _is_listed(f)]
    specs: list[Field] = []
    for row in zip_longest(*lists.values()):
        given = [(name, *item) for name, item in zip(_LISTS.values(), row, strict=True) if item]
        fields = [tree.entry(name, origin, value) for name, origin, value in given]
        leading = listed[len(specs)].name[0].leading if len(specs) < len(listed) else " "
        specs.append(tree.block("param", given[0][1].name_span, fields, leading or " ", " "))
    return specs


def _move_transform(layer: Message) -> Message:
    """Scale, mean, crop and mirror from a data layer's own block into `transform_param`, over those there."""
    own = next((TRANSFORMED.get(_type_name(value)) for _, value in tree.values(layer, "type")), None)
    home = next((f for f in layer.fields if f.key == own and isinstance(f.value, Message)), None)
    if home is None or not isinstance(home.value, Message):
        return layer
    moved = [tree.spaced(f) for f in home.value.fields if f.key in TRANSFORMS]
    if not moved:
        return layer
    rest = tuple(f for f in home.value.fields if f.key not in TRANSFORMS)
    smaller = tree.with_value(home, Message(home.value.open, rest, home.value.close))
    fields = [smaller if f is home else f for f in layer.fields]
    return Message(layer.open, tuple(_with_transform(fields, smaller, moved)), layer.close)


def _with_transform(fields: list[Field], home: Field, moved: list[Field]) -> list[Field]:
    there = next((f for f in fields if f.key == "transform_param" and isinstance(f.value, Message)), None)
    if there is None or not isinstance(there.value, Message):
        assert isinstance(home.value, Message)
        closing = home.value.close.leading
        fresh = tree.block("transform_param", home.name_span, moved, _plain(home.name[0].leading), _plain(closing))
        index = next(i for i, f in enumerate(fields) if f is home) + 1
        return [*fields[:index], fresh, *fields[index:]]
    replaced = {f.key for f in moved}
    kept = [f for f in there.value.fields if f.key not in replaced]
    merged = tree.with_value(there, Message(there.value.open, (*kept, *moved), there.value.close))
    return [merged if f is there else f for f in fields]


def _plain(leading: str) -> str:
    """A line break and indent like `leading`'s, without its comments."""
    _, line, indent = leading.rpartition("\n")
    return (line + indent if line else indent if "#" not in indent else " ") or " "
