"""How do a net's batches reach its module?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from netdef.data.batch import Images, Top
from netdef.data.device import finish
from netdef.data.loader import Loader, num_readers
from netdef.data.reader import ONE, WHOLE, Labels, Shard, Turns
from netdef.data.source import BatchSource, State, open_source
from netdef.diagnostics import NetdefError, error
from netdef.ir import Blob, Graph, Node
from netdef.layers import Layer
from netdef.layers.data import DummyData
from netdef.layers.loss import SoftmaxWithLoss
from netdef.solver.ahead import Ahead, CopyStream, Finish, Standing
from netdef.targets.torch import layout

RECURRENT = ("LSTM", "RNN")
Source = BatchSource | Loader | Ahead | Standing


@dataclass(frozen=True, slots=True)
class Portion:
    """What a process takes of each batch of a source.

    Attributes:
        layer: what is read, by all processes together.
        shard: which of its rows this process reads.
        cuts: where all rows are read, the axis along which each top is cut, by blob id.
        part: which part of that axis is this process's.
    """

    layer: Layer
    shard: Shard = WHOLE
    cuts: Mapping[str, int] = field(default_factory=dict)
    part: Shard = WHOLE

    def cut(self, blob: Blob, top: Top) -> Top:
        """This process's part of a top as it was read."""
        axis = self.cuts.get(blob.id)
        if axis is None:
            return top
        assert not isinstance(top, Images), "images are rows"
        rows = self.part.rows(top.shape[axis])
        return top[(slice(None),) * axis + (slice(rows.start, rows.stop),)]


Portions = Callable[[Node], Portion]
"""What this process takes of each of a net's sources."""


def everything(node: Node) -> Portion:
    """All rows of every batch."""
    return Portion(cast(Layer, node.layer))


class Feed:
    """All sources of one net; `next` gives the module's arguments.

    `portions` is this process's part of every batch, `turns` its part of the batches.
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
        portions: Portions = everything,
        turns: Turns = ONE,
    ) -> None:
        self.device, self.turns = device, turns
        self._channels_last = channels_last
        self.sources: dict[str, Source] = {}
        self._flags = {n.bottoms[1].id for n in graph.nodes if n.type in RECURRENT}
        self._unbroken = WeakTensorKeyDictionary()
        # The code of a user's layer may write over what it reads.
        self._may_stand = not any(node.type == "Python" for node in graph.nodes)
        self._tops: list[tuple[Callable[[], list[Tensor]], list[str]]] = []
        for node in graph.nodes:
            if isinstance(node.layer, Layer) and node.layer.is_source:
                portion = portions(node)
                source = _open(graph, node, portion, base_dir, seed)
                taking = self._begin(node, self._with_readers(node, source), portion)
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

    def _with_readers(self, node: Node, source: BatchSource) -> BatchSource | Loader:
        """The source with threads that read ahead, where there is anything to read."""
        gpu = self.device.type == "cuda"
        source.turns, source.settles = self.turns, not gpu  # a GPU gets bytes and does it in no time
        if not source.readable_ahead or node.type == "DummyData":
            return source
        return Loader(source, workers=num_readers(beside_gpu=gpu))

    def _begin(self, node: Node, source: BatchSource | Loader, portion: Portion) -> Callable[[], list[Tensor]]:
        """What takes the next batch of a source."""
        finish = partial(self._finish, node, portion)
        self.sources[node.id] = there = self._there(node, source, finish)
        if isinstance(there, Ahead | Standing):
            return there.next
        return lambda: finish(there.next_raw())

    def _there(self, node: Node, source: BatchSource | Loader, finish: Finish) -> Source:
        """The source whose batches stand on the device, or go to a GPU ahead, unless a program hands them over."""
        constant = isinstance(node.layer, DummyData) and node.layer.is_constant
        if constant and self._may_stand and isinstance(source, BatchSource):
            return Standing(source, finish)
        if self.device.type == "cuda" and source.readable_ahead:
            return Ahead(source, CopyStream(self.device, finish))
        return source

    def _finish(self, node: Node, portion: Portion, raw: Sequence[Top]) -> list[Tensor]:
        tops = [portion.cut(blob, top) for blob, top in zip(node.tops, raw, strict=True)]
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


def _open(graph: Graph, node: Node, portion: Portion, base_dir: Path | None, seed: int) -> BatchSource:
    if node.type == "Input":
        message = f'layer "{node.name}" is an Input: nothing feeds it here'
        help = "use a data layer (Data, HDF5Data, ImageData, DummyData)"
        raise NetdefError([error("ND0712", message, span=node.places.layer, help=help)])
    return open_source(
        portion.layer,
        phase=graph.phase,
        base_dir=base_dir,
        seed=seed,
        shard=portion.shard,
        labels=labels_of(graph, node),
        name=node.name,
        places=node.places,
    )


def labels_of(graph: Graph, source: Node) -> Labels:
    """Which labels the net can take: as many classes as the scores have that its loss compares them with."""
    if len(source.tops) < 2:
        return Labels()
    for node in graph.nodes:
        if isinstance(node.layer, SoftmaxWithLoss) and source.tops[1] in node.bottoms[1:2]:
            return Labels(node.bottoms[0].shape[node.layer.axis], node.layer.counting.ignore_label)
    return Labels()
