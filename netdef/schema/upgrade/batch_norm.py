"""What becomes of the three `param` of a BatchNorm layer that should keep its statistics from being learned?"""

from __future__ import annotations

from dataclasses import replace

from netdef.schema.upgrade import tree
from netdef.text.cst import Document, Field, Message, Scalar, Token, TokenKind

_NUM_BLOBS = 3
_FROZEN = ("lr_mult", "decay_mult")


def upgrade_batch_norms(document: Document) -> Document:
    """The net with `lr_mult: 0` and `decay_mult: 0` in each BatchNorm layer that has three `param`.

    They tell nothing new: statistics are never learned. Source: Caffe's upgrade_proto.cpp, UpgradeNetBatchNorm.
    """
    fields = tuple(_layer(field) for field in document.fields)
    return replace(document, fields=fields)


def _layer(field: Field) -> Field:
    layer = field.value
    if field.key != "layer" or not isinstance(layer, Message) or tree.first_text(layer, "type") != "BatchNorm":
        return field
    params = [f for f in layer.fields if f.key == "param" and isinstance(f.value, Message)]
    if len(params) != _NUM_BLOBS or all(_is_frozen(f.value) for f in params if isinstance(f.value, Message)):
        return field
    fields = tuple(_frozen(f) if f.key == "param" else f for f in layer.fields)
    return tree.with_value(field, replace(layer, fields=fields))


def _is_frozen(param: Message) -> bool:
    texts = [tree.first_text(param, name) for name in _FROZEN]
    return all(text and not float(text) for text in texts)


def _frozen(field: Field) -> Field:
    assert isinstance(field.value, Message)
    kept = [f for f in field.value.fields if f.key not in _FROZEN]
    lost = [text for f in field.value.fields if f.key in _FROZEN for text in tree.comments(f)]
    zeros = [tree.entry(name, field, Scalar((_zero(field),))) for name in _FROZEN]
    param = replace(field.value, fields=(*kept, *zeros))
    return tree.before(tree.with_value(field, param), tree.above(lost, field.name[0].leading))


def _zero(field: Field) -> Token:
    return Token(TokenKind.INTEGER, "0", field.name_span, " ")
