"""The stable text of a graph: for `netdef check --dump`, and for tests to compare."""

from __future__ import annotations

from netdef.ir.graph import Graph, Node


def dump(graph: Graph) -> str:
    """One line for each node: ``%top: shape = Type "name"(%bottom, …) params loss``."""
    lines = [f'graph "{graph.name}" {graph.phase}']
    lines += [f"  {_node(node)}" for node in graph.nodes]
    lines.append("  return " + ", ".join(f"%{blob.id}" for blob in graph.outputs))
    return "\n".join(lines) + "\n"


def _node(node: Node) -> str:
    tops = ", ".join(f"%{blob.id}: {blob.shape}" for blob in node.tops)
    bottoms = ", ".join(f"%{blob.id}" for blob in node.bottoms)
    params = "".join(f" {param.id}[{param.spec.shape}]" for param in node.params)
    losses = "".join(f" loss*{weight:g}" for weight in node.loss_weights if weight)
    return f'{tops} = {node.type} "{node.id}"({bottoms}){params}{losses}'
