"""How is a deployed graph written as a prototxt that is sure to compile to it again?"""

from __future__ import annotations

from netdef.diagnostics import NetdefError, Source
from netdef.graph.draft import Options
from netdef.graph.load import load
from netdef.graph.write import Messages, to_message
from netdef.ir import Graph
from netdef.schema.print import print_message

BATCH = 1
"""The batch size of an input that was a data layer: a deployed net mostly sees one image at a time."""


def prototxt(graph: Graph, messages: Messages) -> str:
    """The text that compiles to a deployed graph.

    Data layers that have become inputs get a batch of 1, unless a layer works with their own batch size alone.

    Raises:
        NetdefError: the text does not compile, which is a fault of netdef's.
    """
    text = print_message(to_message(graph, messages, batch=BATCH))
    try:
        load(Source("deploy.prototxt", text), Options(phase="TEST"))
    except NetdefError:
        text = print_message(to_message(graph, messages))
        load(Source("deploy.prototxt", text), Options(phase="TEST"))
    return text
