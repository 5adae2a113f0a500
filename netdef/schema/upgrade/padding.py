"""Where do the `padding` layers of 2013 go? Into the pad of the layer behind (Caffe's UpgradeV0PaddingLayers)."""

from __future__ import annotations

from dataclasses import replace

from netdef.diagnostics import Diagnostic, Label, error
from netdef.schema.upgrade import tree
from netdef.schema.upgrade.layer_v0 import inner, is_v0
from netdef.text.cst import Field, Message, Scalar


def fold_padding(fields: tuple[Field, ...], found: list[Diagnostic]) -> tuple[Field, ...]:
    """The top fields of a net without its padding layers; `found` takes those that nothing can take up."""
    makers: dict[str, Field] = {}
    kept: list[Field] = []
    lost: list[str] = []
    for field in fields:
        layer = field.value
        if not (field.key == "layers" and isinstance(layer, Message)):
            kept.append(_under(field, lost))
            continue
        padded = _is_padding(layer)
        if padded:
            lost += tree.comments(field)
        else:
            kept.append(_under(_padded(field, layer, makers, found), lost))
        for _, top in tree.values(layer, "top"):
            makers[tree.text(top)] = field
    if kept:  # comments of a padding layer that nothing follows
        kept[-1] = _under(kept[-1], lost)
    return tuple(kept)


def _is_padding(layer: Message) -> bool:
    return is_v0(layer) and tree.first_text(inner(layer), "type") == "padding"


def _under(field: Field, lost: list[str]) -> Field:
    """The field below the comments of the padding layers that stood before it; empties `lost`."""
    below = tree.before(field, tree.above(lost, field.name[0].leading)) if lost else field
    lost.clear()
    return below


def _padded(field: Field, layer: Message, makers: dict[str, Field], found: list[Diagnostic]) -> Field:
    """The layer reading what its padding layer read, with that one's pad for its own."""
    for origin, bottom in tree.values(layer, "bottom"):
        maker = makers.get(tree.text(bottom))
        if maker is None or not isinstance(maker.value, Message) or not _is_padding(maker.value):
            continue
        if not _can_fold(layer, maker.value):
            found.append(_stuck(bottom, maker))
            return field
        source = tree.values(maker.value, "bottom")[0][1]
        return tree.with_value(field, _folded(layer, origin, source, inner(maker.value)))
    return field


def _can_fold(layer: Message, padding: Message) -> bool:
    single = [tree.values(layer, "bottom"), tree.values(padding, "bottom"), tree.values(padding, "top")]
    taker = tree.first_text(inner(layer), "type") if is_v0(layer) else ""
    return taker in ("conv", "pool") and all(len(found) == 1 for found in single)


def _folded(layer: Message, bottom: Field, source: Scalar, padding: Message) -> Message:
    pads = [f for f in padding.fields if f.key == "pad"]
    nested = inner(layer)
    rest = tuple(f for f in nested.fields if not (pads and f.key == "pad"))
    leading = nested.fields[-1].name[0].leading.rpartition("\n") if nested.fields else ("", "", " ")
    taken = [tree.before(f, leading[1] + leading[2] if "#" not in leading[2] else " ") for f in pads]
    nested_new = replace(nested, fields=(*rest, *(tree.spaced(f) for f in taken)))
    fields = [
        tree.with_value(f, source) if f is bottom else tree.with_value(f, nested_new) if f.value is nested else f
        for f in layer.fields
    ]
    return replace(layer, fields=tuple(fields))


def _stuck(bottom: Scalar, maker: Field) -> Diagnostic:
    return error(
        "ND0222",
        'a "padding" layer can only stand before one "conv" or "pool" layer, its single reader',
        span=bottom.span,
        label="made by a padding layer",
        labels=(Label(maker.name_span, "the padding layer"),),
        help="give the pad to a conv or pool layer, and take the padding layer away",
    )
