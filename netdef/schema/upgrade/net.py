"""How does an old net read in today's schema?

The steps are those of Caffe (src/caffe/util/upgrade_proto.cpp, UpgradeNetAsNeeded) that concern layers: 2013 to 2014
with its padding layers folded, then the transforms of data layers, then 2014 to today.
"""

from __future__ import annotations

from dataclasses import replace

from netdef.diagnostics import Diagnostic, Label, warning
from netdef.schema.upgrade import tree
from netdef.schema.upgrade.layer_v0 import flatten_layer, is_v0
from netdef.schema.upgrade.layer_v1 import upgrade_layer
from netdef.schema.upgrade.outcome import Upgraded
from netdef.schema.upgrade.padding import fold_padding
from netdef.text.cst import Document, Field, ListValue, Message, Scalar


def needs_upgrade(document: Document) -> bool:
    """Whether a net's layers are written in an old schema (the field `layers`)."""
    return any(field.name[0].text == "layers" for field in document.fields)


def upgrade_net(document: Document) -> Upgraded:
    """The net with every `layers` rewritten to a `layer`; today's nets come back as they are."""
    if not needs_upgrade(document):
        return Upgraded(document)
    found: list[Diagnostic] = []
    fields = upgrade_fields(document.fields, found)
    return Upgraded(replace(document, fields=fields), tuple(found))


def upgrade_fields(fields: tuple[Field, ...], found: list[Diagnostic]) -> tuple[Field, ...]:
    """The same for the fields of a net that stands in another message, a solver's `net_param`."""
    fields = tuple(single for field in fields for single in _singles(field))
    _check_mixed(fields, found)
    if any(_is_v0(field) for field in fields):
        fields = fold_padding(fields, found)
    return tuple(_layer(field, found) if field.key == "layers" else field for field in fields)


def _layer(field: Field, found: list[Diagnostic]) -> Field:
    layer = field.value
    if not isinstance(layer, Message):
        return tree.renamed(field, "layer")
    if is_v0(layer):
        layer = flatten_layer(layer, found)
    new = tree.renamed(tree.with_value(field, upgrade_layer(layer, found)), "layer")
    return tree.keep_comments(field, new)


def _is_v0(field: Field) -> bool:
    return field.key == "layers" and isinstance(field.value, Message) and is_v0(field.value)


def _singles(field: Field) -> list[Field]:
    """`layers [{ … }, { … }]` as a field each; any other field as it is."""
    if field.key != "layers" or not isinstance(field.value, ListValue) or not field.value.items:
        return [field]
    return [_single(field, item) for item in field.value.items]


def _single(field: Field, item: Scalar | Message) -> Field:
    leading = field.name[0].leading or " "
    return replace(tree.before(field, leading), value=item, separator=None)


def _check_mixed(fields: tuple[Field, ...], found: list[Diagnostic]) -> None:
    new = next((f for f in fields if f.key == "layer"), None)
    old = next((f for f in fields if f.key == "layers"), None)
    if new and old:
        found.append(
            warning(
                "ND0223",
                "both `layers` and `layer` are used; they are taken in the order of the text, but Caffe refuses this",
                span=old.name_span,
                label="the form of 2014",
                labels=(Label(new.name_span, "today's form"),),
                help="`netdef upgrade` writes them all as `layer`",
            )
        )
