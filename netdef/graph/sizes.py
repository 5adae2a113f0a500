"""Does a graph have what a run needs, layers and known sizes? A check does without; training and export do not."""

from __future__ import annotations

from collections.abc import Sequence

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.ir import Blob, Graph, Node
from netdef.layers.data import Data, HDF5Data, ImageData, WindowData


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
        NetdefError: ND0321, for each layer whose database is not there to tell.
    """
    unknown = [(node, [blob for blob in node.tops if _lacks(graph, blob)]) for node in graph.nodes]
    found = [_unknown(node, blobs) for node, blobs in unknown if blobs]
    if found:
        raise NetdefError(found)
    return graph


def _lacks(graph: Graph, blob: Blob) -> bool:
    known = blob.shape.ranked and None not in blob.shape.sizes[1:]
    return not known and any(blob.id == other.id for other in graph.inputs)


def _unknown(node: Node, blobs: Sequence[Blob]) -> Diagnostic:
    source = node.layer.source if isinstance(node.layer, Data | HDF5Data | ImageData | WindowData) else ""
    names = " and ".join(f'"{blob.name}"' for blob in blobs)
    message = f"the sizes of {names} are not known: {' and '.join(str(blob.shape) for blob in blobs)}"
    why = f'its source "{source}" is neither in the working folder nor beside the net' if source else ""
    supply = f"`--shape {blobs[0].name}=64x3x227x227` supplies them where no data are needed"
    span = node.places.fields.get("source") or node.places.layer
    return error("ND0321", message, span=span, help=(why, supply) if why else supply)
