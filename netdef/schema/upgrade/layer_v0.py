"""How does a layer of 2013 (`layers { layer { type: "conv" kernelsize: 3 } bottom: … }`) read a year later?"""

from __future__ import annotations

from typing import Any

from netdef.diagnostics import Diagnostic, error, warning
from netdef.schema import netdef_pb2 as pb
from netdef.schema.rules import rule
from netdef.schema.suggest import nearest
from netdef.schema.unknown import unknown
from netdef.schema.upgrade import tree
from netdef.schema.upgrade.types import FROM_V0, TRANSFORMS
from netdef.text.cst import Field, Message, Scalar, TokenKind

_RENAMED = {
    "biasterm": "bias_term",
    "kernelsize": "kernel_size",
    "batchsize": "batch_size",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "shuffle_images": "shuffle",
    "det_fg_threshold": "fg_threshold",
    "det_bg_threshold": "bg_threshold",
    "det_fg_fraction": "fg_fraction",
    "det_context_pad": "context_pad",
    "det_crop_mode": "crop_mode",
}
_KEPT = ("name", "blobs", "blobs_lr", "weight_decay")
# The stubs of protobuf give generated descriptors a wider type than descriptors have.
_LEVELS: tuple[Any, ...] = (
    pb.NetParameter.DESCRIPTOR,
    pb.V1LayerParameter.DESCRIPTOR,
    pb.V0LayerParameter.DESCRIPTOR,
)


def is_v0(layer: Message) -> bool:
    """Whether the layer's settings stand in a `layer` block of their own."""
    return any(field.key == "layer" and isinstance(field.value, Message) for field in layer.fields)


def inner(layer: Message) -> Message:
    """The `layer` block of a layer of 2013."""
    return next(f.value for f in layer.fields if f.key == "layer" and isinstance(f.value, Message))


def flatten_layer(layer: Message, found: list[Diagnostic]) -> Message:
    """The layer in the schema of 2014; `found` takes what has no place there."""
    nested = inner(layer)
    type_, home = FROM_V0.get(tree.first_text(nested, "type"), ("", ""))
    head: list[Field] = []
    own: list[Field] = []
    transform: list[Field] = []
    for field in nested.fields:
        name = _RENAMED.get(field.key, field.key)
        moved = tree.spaced(tree.renamed(field, name))
        if field.key == "type":
            head.append(_type(moved, type_, found))
        elif field.key in _KEPT or field.key == home:
            head.append(moved)
        elif not _is_known(field):
            found.append(unknown(field, _LEVELS, nested.fields))
        elif name in TRANSFORMS:
            transform.append(moved)
        elif _takes(home, name):
            own.append(moved)
        else:
            found.append(_homeless(field, nested))
    around = [f for f in layer.fields if not (f.key == "layer" and isinstance(f.value, Message))]
    blocks = [_block(name, fields, nested) for name, fields in ((home, own), ("transform_param", transform)) if fields]
    return Message(layer.open, (*head, *around, *blocks), layer.close)


def _is_known(field: Field) -> bool:
    return field.name[0].text in rule(pb.V0LayerParameter.DESCRIPTOR).fields


def _takes(home: str, name: str) -> bool:
    """Whether the block has a place for a setting; that hdf5_data could shuffle is younger than these layers."""
    if not home or (home, name) == ("hdf5_data_param", "shuffle"):
        return False
    message = rule(pb.V1LayerParameter.DESCRIPTOR).fields[home].message
    return message is not None and name in rule(message).fields


def _type(field: Field, type_: str, found: list[Diagnostic]) -> Field:
    if not isinstance(field.value, Scalar) or field.value.tokens[0].kind is TokenKind.ERROR:
        return field
    if not type_:
        found.append(_unknown_type(field.value))
        return field
    return tree.with_token(field, field.value, TokenKind.IDENTIFIER, type_)


def _unknown_type(value: Scalar) -> Diagnostic:
    near = nearest(tree.text(value), FROM_V0)
    return error(
        "ND0220",
        f"the layers of 2013 have no type {tree.text(value)!r}",
        span=value.span,
        label=f'did you mean "{near}"?' if near else "",
        help=f"types: {', '.join(FROM_V0)}",
    )


def _homeless(field: Field, nested: Message) -> Diagnostic:
    """A field that its layer's type has no use for (Caffe drops it and says so)."""
    type_ = tree.first_text(nested, "type")
    return warning(
        "ND0221",
        f'`{field.key}` has no meaning in a layer of type "{type_}"',
        span=field.name_span,
        label="left out",
    )


def _block(name: str, fields: list[Field], nested: Message) -> Field:
    leading = fields[0].name[0].leading
    line, indent = ("\n", leading.rpartition("\n")[2]) if "\n" in leading else ("", " ")
    closing = line + indent if line else " "
    return tree.block(name, fields[0].name_span, fields, line + indent if "#" not in indent else " ", closing)
