"""What is each blob called in the model?"""

from __future__ import annotations

from netdef.ir import Graph


def value_names(graph: Graph) -> dict[str, str]:
    """The name of every blob in the model, by blob id: the id itself, but that an input bears its plain name.

    Where a layer works in place on an input, the graph calls the input ``data@input`` and the changed value ``data``.
    Whoever feeds the model knows it as ``data``, so there the changed value is ``data@layer`` instead.
    """
    names = {id: id for id in graph.blobs}
    for blob in graph.inputs:
        names[blob.id] = blob.name
        if blob.id != blob.name and blob.name in names:
            names[blob.name] = f"{blob.name}@{graph.producers[blob.name].id}"
    return names
