"""Which layers share a box in the picture, and what does the box say?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from netdef.ir import Blob, Graph, Node
from netdef.report.draw.kinds import Kind, kind

_FOLLOWERS = frozenset({"activation", "affine", "normalization"})
"""The files of `netdef.layers` whose layers may join the box of the layer that they follow."""
TIMES = " \N{MULTIPLICATION SIGN} "
_MAX_INLINE = 1
"""How many followers the line with the type has room for."""


@dataclass(frozen=True, slots=True)
class Box:
    """A layer and the layers that only work on its top: a convolution with its BatchNorm, Scale and ReLU.

    Attributes:
        id: the first layer's id.
        nodes: the layers, in their order.
        lines: type, followers and fields, in a few words.
    """

    id: str
    nodes: tuple[Node, ...]
    lines: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """What the colour tells."""
        return kind(self.nodes[0])

    @property
    def bottoms(self) -> tuple[Blob, ...]:
        """What it reads from other boxes."""
        return self.nodes[0].bottoms

    @property
    def tops(self) -> tuple[Blob, ...]:
        """What other boxes can read."""
        return self.nodes[-1].tops

    @property
    def is_source(self) -> bool:
        """Whether its blobs come from outside of the net."""
        return self.nodes[0].layer.is_source


def boxes(graph: Graph) -> tuple[Box, ...]:
    """Every layer in one box, in the order of the graph."""
    readers = Counter(blob.id for node in graph.nodes for blob in node.bottoms)
    chains: dict[str, list[Node]] = {}
    ends: dict[str, str] = {}  # from a blob to the chain that it ends
    for node in graph.nodes:
        head = _joins(node, readers, ends, chains)
        if head is None:
            chains[node.id] = [node]
            ends.update((blob.id, node.id) for blob in node.tops)
        else:
            chains[head].append(node)
            ends[node.tops[0].id] = head
    read = {id for id, count in readers.items() if count}
    return tuple(Box(id, tuple(nodes), tuple(_lines(nodes, read))) for id, nodes in chains.items())


def _joins(node: Node, readers: Counter[str], ends: dict[str, str], chains: dict[str, list[Node]]) -> str | None:
    """The chain that a layer goes on with; None where it begins one."""
    if len(node.bottoms) != 1 or len(node.tops) != 1 or not _follows(node):
        return None
    (blob,) = node.bottoms
    head = ends[blob.id]
    before = chains[head][-1]
    alone = readers[blob.id] == 1 and len(before.tops) == 1
    return head if alone and not before.layer.is_source else None


def _follows(node: Node) -> bool:
    module = type(node.layer).__module__.rpartition(".")[2]
    return module in _FOLLOWERS and (node.layer.in_place or node.type == "BatchNorm")


def _lines(nodes: list[Node], read: set[str]) -> Iterator[str]:
    first, *rest = nodes
    followers = " + ".join(node.type for node in rest)
    inline = len(rest) <= _MAX_INLINE
    yield f"{first.type} + {followers}" if rest and inline else first.type
    if fields := _fields(first):
        yield fields
    if not inline:
        yield f"+ {followers}"
    for blob in nodes[-1].tops:
        if blob.id not in read and not first.layer.is_source:
            yield f"gives {sizes(blob)}"


def _fields(node: Node) -> str:
    """What the layer tells of itself, without what is so in nearly every net."""
    return node.layer.describe().removesuffix(", rounds up")


def sizes(blob: Blob) -> str:
    """A blob's sizes for people: the batch aside, where there is one."""
    dims = blob.shape.dims
    if dims is None:
        return "?"
    shown = dims[1:] if len(dims) > 1 else dims
    return TIMES.join("?" if size is None else str(size) for size in shown) or "a scalar"
