"""A layer from a line of prototxt, and shapes as they are printed: what the layer tests' tables are written in."""

from __future__ import annotations

import pytest

from netdef.diagnostics import Diagnostic, Source
from netdef.ir import SCALAR, UNKNOWN, Shape
from netdef.layers import Block, Layer, Mismatch, registry
from netdef.schema import netdef_pb2 as pb
from netdef.schema.read import read_message


def decode(text: str) -> tuple[Layer, list[Diagnostic]]:
    """The layer that the body of a `layer { … }` describes, and what was found wrong in it."""
    bound = read_message(Source("net.prototxt", f"layer {{ {text} }}"), pb.NetParameter)
    assert not bound.diagnostics
    (message,) = bound.message.layer
    where = bound.where.sub("layer", 0)
    block = Block(message, where, "TRAIN", len(message.bottom), len(message.top))
    return registry()[message.type].decode(block), block.found


def made(text: str) -> Layer:
    """The layer, from a text without errors."""
    layer, found = decode(text)
    assert not found
    return layer


def shape(text: str) -> Shape:
    """The shape that is printed so: ``2x?x3``, ``scalar``, ``?`` (unknown altogether), ``?,`` (one unknown axis)."""
    if text in ("?", "scalar"):
        return UNKNOWN if text == "?" else SCALAR
    return Shape(tuple(None if size == "?" else int(size) for size in text.rstrip(",").split("x")))


def shapes(text: str) -> tuple[Shape, ...]:
    """Several of them, between blanks."""
    return tuple(map(shape, text.split()))


def assert_refused(text: str, code: str, spot: str, message: str) -> None:
    """Decoding finds one fault: this code, at this spot of the text, in these words."""
    _, (found,) = decode(text)
    assert found.span is not None
    assert (found.code, found.span.text, message in found.message) == (code, spot, True), found.message


def assert_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    """The shape rule refuses these bottoms: with this code, in these words."""
    with pytest.raises(Mismatch) as caught:
        made(text).infer(shapes(bottoms))
    assert (caught.value.code, message in str(caught.value)) == (code, True), str(caught.value)
