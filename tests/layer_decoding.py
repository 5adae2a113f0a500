"""A layer from a line of prototxt, and shapes as they are printed: what the layer tests' tables are written in."""

from __future__ import annotations

from netdef.diagnostics import Diagnostic, Source
from netdef.ir import SCALAR, UNKNOWN, Shape
from netdef.layers import Block, Layer, registry
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
