"""Where do the tops of a net's data layers come from?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from numpy.typing import ArrayLike

from netdef.data.loader import Loader
from netdef.data.source import BatchSource, MemorySource, State, open_source
from netdef.diagnostics import NetdefError, error
from netdef.ir import Graph, Node
from netdef.layers import Layer
from netdef.pycaffe.blob import Blob
from netdef.solver.feed import labels_of


class Sources:
    """The data layers of one net, by layer. An Input has none: the caller fills its blob."""

    def __init__(self, graph: Graph, base_dir: Path | None, seed: int) -> None:
        self.graph = graph
        self._sources = {
            node.id: _open(graph, node, base_dir, seed)
            for node in graph.nodes
            if node.layer.is_source and node.type != "Input"
        }

    def fill(self, node: Node, tops: list[Blob]) -> None:
        """The next batch of a data layer into its tops."""
        if node.id in self._sources:
            for blob, values in zip(tops, self._sources[node.id].next_batch(), strict=True):
                blob.fill(torch.from_numpy(values))

    def set_arrays(self, images: ArrayLike, labels: ArrayLike) -> None:
        """Hand images (n, C, H, W) and n labels to the net's MemoryData layer.

        Raises:
            NetdefError: ND1006, it has none; ND0550, the shapes are others.
        """
        memory = next((s for s in self._sources.values() if isinstance(s, MemorySource)), None)
        if memory is None:
            raise NetdefError([error("ND1006", "set_input_arrays is for a net with a MemoryData layer; this has none")])
        memory.reset(images, labels)

    def state(self) -> dict[str, State]:
        """Where each source stands, by its layer."""
        return {name: source.state() for name, source in self._sources.items()}

    def restore(self, states: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; a layer that it does not know begins at its start."""
        for name, source in self._sources.items():
            if name in states:
                source.restore(states[name])

    def close(self) -> None:
        """Let files go."""
        for source in self._sources.values():
            source.close()


def _open(graph: Graph, node: Node, base_dir: Path | None, seed: int) -> BatchSource | Loader:
    source = open_source(
        cast(Layer, node.layer),
        phase=graph.phase,
        base_dir=base_dir,
        seed=seed,
        labels=labels_of(graph, node),
        name=node.name,
        places=node.places,
    )
    return Loader(source) if source.readable_ahead and node.type != "DummyData" else source
