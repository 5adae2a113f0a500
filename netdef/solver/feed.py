"""How do a net's batches reach its module?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from netdef.data.batch import Images, Top
from netdef.data.device import finish
from netdef.data.loader import Loader, num_readers
from netdef.data.reader import ONE, WHOLE, Labels, Shard, Turns
from netdef.data.source import BatchSource, State, open_source
from netdef.diagnostics import NetdefError, error
from netdef.ir import Graph, Node
from netdef.layers import Layer
from netdef.layers.data import DummyData
from netdef.layers.loss import SoftmaxWithLoss
from netdef.solver.ahead import Ahead, CopyStream, Standing
from netdef.targets.torch import layout

RECURRENT = ("LSTM", "RNN")
Source = BatchSource | Loader | Ahead | Standing


class Feed:
    """All sources of one net; `next` gives the module's arguments.

    `shard` is this process's part of the rows of every batch, `turns` its part of the batches.
    Reading ahead begins with the first batch. The position is that of the batches handed out, whatever was read ahead.
    """

    def __init__(
        self,
        graph: Graph,
        arguments: Mapping[str, str],
        *,
        device: torch.device,
        base_dir: Path | None,
        seed: int,
        channels_last: bool = False,
        shard: Shard = WHOLE,
        turns: Turns = ONE,
    ) -> None:
        self.device, self.turns = device, turns
        self._channels_last = channels_last
        self.sources: dict[str, Source] = {}
        self._flags = {n.bottoms[1].id for n in graph.nodes if n.type in RECURRENT}
        self._unbroken = WeakTensorKeyDictionary()
        self._tops: list[tuple[Callable[[], list[Tensor]], list[str]]] = []
        for node in graph.nodes:
            if isinstance(node.layer, Layer) and node.layer.is_source:
                source = _open(graph, node, node.layer, base_dir, seed, shard, turns, device.type == "cuda")
                taking = self._begin(node, source)
                self._tops.append((taking, [arguments[blob.id] for blob in node.tops]))

    def next(self) -> dict[str, Tensor]:
        """The next batch of every source, on the device, by argument name."""
        return {name: top for taking, names in self._tops for name, top in zip(names, taking(), strict=True)}

    def is_unbroken(self, flags: Tensor) -> bool:
        """Whether these are flags for LSTM and RNN by which no sequence begins after the first step.

        They are looked at before they go to the device, which would have to be waited for.
        """
        return flags in self._unbroken

    def state(self) -> dict[str, State]:
        """Where each source stands, by its layer."""
        return {name: _moved(source.state(), self.turns.position) for name, source in self.sources.items()}

    def restore(self, states: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; a layer that it does not know begins at its start."""
        for name, source in self.sources.items():
            if name in states:
                source.restore(_moved(states[name], self.turns.taken))

    def close(self) -> None:
        """Stop reading, let files go."""
        for source in self.sources.values():
            source.close()

    def _begin(self, node: Node, source: BatchSource | Loader) -> Callable[[], list[Tensor]]:
        """What takes the next batch of a source."""
        self.sources[node.id] = there = self._there(node, source)
        if isinstance(there, Ahead | Standing):
            return there.next
        return lambda: self._finish(node, there.next_raw())

    def _there(self, node: Node, source: BatchSource | Loader) -> Source:
        """The source whose batches stand on the device, or go to a GPU ahead, unless a program hands them over."""
        if isinstance(source, BatchSource) and isinstance(node.layer, DummyData) and node.layer.is_constant:
            return Standing(source, partial(self._finish, node))
        if self.device.type == "cuda" and source.readable_ahead:
            return Ahead(source, CopyStream(self.device, partial(self._finish, node)))
        return source

    def _finish(self, node: Node, tops: Sequence[Top]) -> list[Tensor]:
        tensors = [self._send(top) for top in tops]
        for blob, top, tensor in zip(node.tops, tops, tensors, strict=True):
            if blob.id in self._flags and not isinstance(top, Images) and bool((top[1:] == 1).all()):
                self._unbroken[tensor] = True
        return tensors

    def _send(self, top: Top) -> Tensor:
        tensor = finish(top, self.device, pin=self.device.type == "cuda")
        return layout.channels_last(tensor) if self._channels_last else tensor


def advanced(states: Mapping[str, State], batches: int) -> dict[str, State]:
    """Where sources stand so many batches after `states`, the positions of a Feed."""
    return {name: _moved(state, lambda batch: batch + batches) for name, state in states.items()}


def _moved(state: Mapping[str, Any], place: Callable[[int], int]) -> dict[str, Any]:
    """A position counted in this process's batches, or in all; what is no position stays, to be refused."""
    batch = state.get("batch")
    return {**state, "batch": place(batch) if isinstance(batch, int) else batch}


def _open(
    graph: Graph, node: Node, layer: Layer, base_dir: Path | None, seed: int, shard: Shard, turns: Turns, gpu: bool
) -> BatchSource | Loader:
    if node.type == "Input":
        message = f'layer "{node.name}" is an Input: nothing feeds it here'
        help = "use a data layer (Data, HDF5Data, ImageData, DummyData)"
        raise NetdefError([error("ND0712", message, span=node.places.layer, help=help)])
    source = open_source(
        layer,
        phase=graph.phase,
        base_dir=base_dir,
        seed=seed,
        shard=shard,
        labels=labels_of(graph, node),
        name=node.name,
        places=node.places,
    )
    source.turns, source.settles = turns, not gpu  # a GPU gets bytes and does it in no time
    if not source.readable_ahead or node.type == "DummyData":
        return source
    return Loader(source, workers=num_readers(beside_gpu=gpu))


def labels_of(graph: Graph, source: Node) -> Labels:
    """Which labels the net can take: as many classes as the scores have that its loss compares them with."""
    if len(source.tops) < 2:
        return Labels()
    for node in graph.nodes:
        if isinstance(node.layer, SoftmaxWithLoss) and source.tops[1] in node.bottoms[1:2]:
            return Labels(node.bottoms[0].shape[node.layer.axis], node.layer.counting.ignore_label)
    return Labels()
