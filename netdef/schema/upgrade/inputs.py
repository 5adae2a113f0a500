"""How do the old `input` and `input_dim` at the top of a net become a layer of type `Input`?"""

from __future__ import annotations

from dataclasses import replace

from netdef.schema.upgrade import tree
from netdef.text.cst import Document, Field, ListValue, Message, Scalar, Token, TokenKind

_OLD = ("input", "input_shape", "input_dim")
_NUM_AXES = 4  # an `input_dim` stands for one of N, C, H, W


def upgrade_inputs(document: Document) -> Document:
    """The net with one `Input` layer in the place of its first `input`, before the first layer at the latest.

    Source: Caffe's upgrade_proto.cpp, UpgradeNetInput, which puts it in front of all. Only what prints a net for people
    needs it: graphs are made of both forms alike. Nets whose inputs and shapes don't match in number come back as they
    are, for the graph's checks to speak of.
    """
    top = Message(document.end, document.fields, document.end)
    names = tree.values(top, "input")
    shapes = _shapes(top, len(names))
    if not names or len(shapes) != len(names):
        return document
    layer = _layer(names, shapes)
    comments = [text for f in document.fields if f.key in _OLD for text in tree.comments(f)]
    place = next(i for i, f in enumerate(document.fields) if f.key in ("input", "layer", "layers"))
    layer = tree.before(layer, tree.above(comments, _break(document.fields[place])))
    before = [f for f in document.fields[:place] if f.key not in _OLD]
    behind = [f for f in document.fields[place:] if f.key not in _OLD]
    return replace(document, fields=(*before, layer, *behind))


def _shapes(top: Message, count: int) -> list[list[tuple[Field, Scalar]]]:
    """The sizes of each input: of its `input_shape`, or four of all `input_dim`."""
    messages: list[Message] = []
    for field in top.fields:
        if field.key == "input_shape":
            items = field.value.items if isinstance(field.value, ListValue) else (field.value,)
            messages += [item for item in items if isinstance(item, Message)]
    if messages:
        return [tree.values(message, "dim") for message in messages]
    sizes = tree.values(top, "input_dim")
    if len(sizes) != _NUM_AXES * count:
        return []
    return [sizes[i : i + _NUM_AXES] for i in range(0, len(sizes), _NUM_AXES)]


def _layer(names: list[tuple[Field, Scalar]], shapes: list[list[tuple[Field, Scalar]]]) -> Field:
    origin = names[0][0]
    blocks = []
    for (field, _), sizes in zip(names, shapes, strict=True):
        dims = [tree.entry("dim", source, value) for source, value in sizes]
        blocks.append(tree.block("shape", field.name_span, dims, "\n    ", " "))
    fields = [
        tree.entry("name", origin, _quoted("input", origin)),
        tree.entry("type", origin, _quoted("Input", origin)),
        *(tree.entry("top", field, value) for field, value in names),
    ]
    fields = [tree.before(field, "\n  ") for field in fields]
    settings = tree.block("input_param", origin.name_span, blocks, "\n  ", "\n  ")
    return tree.block("layer", origin.name_span, [*fields, settings], "", "\n")


def _quoted(text: str, origin: Field) -> Scalar:
    return Scalar((Token(TokenKind.STRING, f'"{text}"', origin.name_span),))


def _break(first: Field) -> str:
    """A new line where the first input did not begin one (at the start of the file nothing is needed)."""
    at_start = first.name_span.start == 0
    return "" if at_start else "\n"
