"""Which kinds of layers does a picture tell apart, and by which colours?"""

from __future__ import annotations

from dataclasses import dataclass

from netdef.ir import Node


@dataclass(frozen=True, slots=True)
class Kind:
    """A family of layers; `name` stands in the legend, colours are as in CSS."""

    name: str
    fill: str
    line: str


OTHER = Kind("other", "#ffffff", "#374151")

_FAMILIES = {
    "data": Kind("data", "#e5e7eb", "#6b7280"),
    "convolution": Kind("convolution", "#dbeafe", "#2563eb"),
    "inner_product": Kind("inner product", "#cffafe", "#0891b2"),
    "recurrent": Kind("recurrent", "#ecfccb", "#65a30d"),
    "pooling": Kind("pooling", "#dcfce7", "#16a34a"),
    "normalization": Kind("normalization", "#fef9c3", "#ca8a04"),
    "activation": Kind("activation", "#ffedd5", "#ea580c"),
    "joining": Kind("joining and splitting", "#ede9fe", "#7c3aed"),
    "arithmetic": Kind("arithmetic", "#fce7f3", "#db2777"),
    "reshaping": Kind("reshaping", "#f1f5f9", "#64748b"),
    "softmax": Kind("softmax", "#fae8ff", "#c026d3"),
    "loss": Kind("loss", "#fee2e2", "#dc2626"),
    "metric": Kind("metric", "#fff1f2", "#9f1239"),
}
"""By the file of `netdef.layers` that holds the layer."""

_SAME = {"affine": "normalization", "selection": "reshaping", "window": "convolution"}


def kind(node: Node) -> Kind:
    """The kind of a layer; a layer that a user added is of the kind `other`."""
    module = type(node.layer).__module__.rpartition(".")[2]
    return _FAMILIES.get(_SAME.get(module, module), OTHER)


def legend(found: set[Kind]) -> list[Kind]:
    """The kinds that occur, in the table's order."""
    return [each for each in (*_FAMILIES.values(), OTHER) if each in found]
