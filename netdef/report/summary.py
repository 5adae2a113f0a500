"""What a net is made of, as rows: layers, shapes, parameters, work and memory. Without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from netdef.ir import Cost, Dim, Graph, training_bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One layer of a summary.

    Attributes:
        layer, type: its name and Caffe's type.
        bottoms, tops: names of its blobs.
        shapes: the shapes of its tops, as text.
        parameters, multiply_adds, activation_bytes: its cost; None where a size is unknown.
        shares: the layer whose parameters it uses, or empty.
    """

    layer: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shapes: tuple[str, ...]
    parameters: Dim
    multiply_adds: Dim
    activation_bytes: Dim
    shares: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """A net's rows and totals; `training_bytes` predicts the memory of an SGD step (see `netdef.ir.memory`)."""

    net: str
    phase: str
    rows: tuple[Row, ...]
    cost: Cost
    training_bytes: Dim

    def as_json(self) -> dict[str, Any]:
        """The summary as plain data."""
        return asdict(self)


def summarise(graph: Graph) -> Summary:
    """The summary of a graph."""
    rows = []
    for node in graph.nodes:
        cost = node.cost
        owners = {param.owner for param in node.params} - {node.id}
        rows.append(
            Row(
                node.id,
                node.type,
                tuple(blob.name for blob in node.bottoms),
                tuple(blob.name for blob in node.tops),
                tuple(str(blob.shape) for blob in node.tops),
                cost.parameters,
                cost.multiply_adds,
                cost.activation_bytes,
                ", ".join(sorted(owners)),
            )
        )
    return Summary(graph.name, graph.phase, tuple(rows), graph.cost, training_bytes(graph))
