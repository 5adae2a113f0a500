"""Is all there that a run needs: layers, and their sizes? A check goes on without, training and export cannot."""

from __future__ import annotations

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.ir import Blob, Graph, Node


def demand_layers(graph: Graph) -> Graph:
    """The graph itself, if any layer takes part.

    Raises:
        NetdefError: ND0906, none does: the file is empty, or the phase, level and stages leave all of them out.
    """
    if not graph.nodes:
        message = f'no layer of the net "{graph.name}" takes part in phase {graph.phase}: there is nothing to compute'
        raise NetdefError([error("ND0906", message, help="`netdef summary` with the same options shows which do")])
    return graph


def demand_sizes(graph: Graph) -> Graph:
    """The graph itself, if every size but the batch is known of each blob that comes from outside.

    Raises:
        NetdefError: ND0321, for each blob whose database is not there to tell.
    """
    sources = [(node, blob) for node in graph.nodes for blob in node.tops if _is_input(graph, blob)]
    found = [_unknown(node, blob) for node, blob in sources if not _is_known(blob)]
    if found:
        raise NetdefError(found)
    return graph


def _is_input(graph: Graph, blob: Blob) -> bool:
    return any(blob.id == other.id for other in graph.inputs)


def _is_known(blob: Blob) -> bool:
    return blob.shape.ranked and None not in blob.shape.sizes[1:]


def _unknown(node: Node, blob: Blob) -> Diagnostic:
    source = getattr(node.layer, "source", "")
    message = f'the sizes of "{blob.name}" are not known: {blob.shape}'
    why = f'its source "{source}" is not there or cannot be read; ' if source else ""
    help = f"{why}`--shape {blob.name}=64x3x227x227` supplies them where no data are needed"
    return error("ND0321", message, span=node.places.layer, help=help)
