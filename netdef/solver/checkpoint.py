"""How does a net keep few of its activations, and compute the others again on the way back?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import fx, nn
from torch.fx.passes.split_module import split_module
from torch.utils.checkpoint import checkpoint

from netdef.ir import Graph
from netdef.ir.cost import float_bytes
from netdef.nn.normalization import BatchNorm
from netdef.targets.torch.faults import untouched

MOST_SEGMENTS = 32


@dataclass(frozen=True, slots=True)
class Cut:
    """A place between two steps of a net where one value alone goes on.

    Attributes:
        place: the index of the first step behind it.
        bytes: size of that value.
        before: bytes of everything computed up to here.
    """

    place: int
    bytes: int
    before: int


def checkpointed(module: fx.GraphModule, graph: Graph) -> nn.Module:
    """The same computation with the same parameters in segments, of which only the inputs are kept.

    Each segment but the last is computed twice: without keeping anything on the way forward, and again when its
    gradients are due. Random numbers are the same both times, and BatchNorm counts its statistics once. Where to cut
    follows from the sizes of the blobs: what is kept between segments, and the largest segment, should take
    the least together. A net without a place to cut comes back as it is.
    """
    steps = [node for node in module.graph.nodes if node.op in ("call_function", "call_module")]
    cuts = best(list(_cuts(steps, graph)), _bytes(steps, graph))
    if not cuts:
        return module
    segment = _numbering(module, steps, [cut.place for cut in cuts])
    split = split_module(module, module, lambda node: segment[node], keep_original_order=True)
    untouched(split)
    for number in range(len(cuts)):
        name = f"submod_{number}"
        inner = split.get_submodule(name)
        if not _keeps_state(inner):
            split.set_submodule(name, Segment(inner))
    return split


class Segment(nn.Module):
    """A part of a net that is computed again on the way back."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self._norms = [child for child in inner.modules() if isinstance(child, BatchNorm)]

    def forward(self, *inputs: Any) -> Any:
        """What `inner` computes."""
        return checkpoint(self.inner, *inputs, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _not_counting(self._norms)


def best(cuts: Sequence[Cut], whole: int) -> tuple[Cut, ...]:
    """Of these places those whose use needs the least memory; none where no choice saves any. `whole`: all bytes."""
    choices = [tuple(_about_every(whole / parts, cuts)) for parts in range(2, MOST_SEGMENTS + 1)]
    return min([(), *choices], key=lambda chosen: need(chosen, whole))


def need(cuts: Sequence[Cut], whole: int) -> int:
    """Bytes that are kept at most: the values at the cuts, and one segment."""
    places = [0, *(cut.before for cut in cuts), whole]
    return sum(cut.bytes for cut in cuts) + max(b - a for a, b in pairwise(places))


def _about_every(size: float, cuts: Sequence[Cut]) -> Iterator[Cut]:
    """The first cut behind each `size` bytes."""
    last = 0
    for cut in cuts:
        if cut.before - last >= size:
            last = cut.before
            yield cut


def _cuts(steps: Sequence[fx.Node], graph: Graph) -> Iterator[Cut]:
    """Between two layers, where one value goes on that no later step overwrites."""
    order = {node: index for index, node in enumerate(steps)}
    last_use = {node: max((order.get(user, -1) for user in node.users), default=-1) for node in steps}
    before = 0
    for place, node in enumerate(steps[1:], 1):
        before += _own_bytes(steps, place - 1, graph)
        alive = [value for value in steps[:place] if last_use[value] >= place]
        if len(alive) == 1 and _layer(node) != _layer(steps[place - 1]) and not _overwritten(alive[0], place, order):
            yield Cut(place, _layer_bytes(graph, _layer(alive[0])), before)


def _overwritten(value: fx.Node, place: int, order: dict[fx.Node, int]) -> bool:
    """Whether a step behind the cut writes over a value from before it, which a second run would then misread."""
    return any(user.kwargs.get("inplace") for user in value.users if order.get(user, -1) >= place)


def _bytes(steps: Sequence[fx.Node], graph: Graph) -> int:
    return sum(_own_bytes(steps, index, graph) for index in range(len(steps)))


def _own_bytes(steps: Sequence[fx.Node], index: int, graph: Graph) -> int:
    """A layer's tops, counted at its last step."""
    layer = _layer(steps[index])
    return 0 if index + 1 < len(steps) and _layer(steps[index + 1]) == layer else _layer_bytes(graph, layer)


def _layer_bytes(graph: Graph, layer: str) -> int:
    node = graph.layers.get(layer)
    return sum(float_bytes(blob.shape.count()) or 0 for blob in node.tops) if node else 0


def _layer(node: fx.Node) -> str:
    return str(node.meta.get("layer", ""))


def _numbering(module: fx.GraphModule, steps: Sequence[fx.Node], places: Sequence[int]) -> dict[fx.Node, int]:
    """The segment of every node; parameters that are read belong to their first reader's."""
    numbers = {node: sum(place <= index for place in places) for index, node in enumerate(steps)}
    for node in module.graph.nodes:
        if node not in numbers:
            numbers[node] = min((numbers[user] for user in node.users if user in numbers), default=0)
    return numbers


def _keeps_state(module: nn.Module) -> bool:
    """Whether a second run would differ: something keeps a state from batch to batch (LSTM, a Python layer)."""
    leaves = (child for child in module.modules() if not isinstance(child, BatchNorm))
    return any(True for child in leaves for _ in child.buffers(recurse=False)) or _foreign(module)


def _foreign(module: nn.Module) -> bool:
    return any(type(child).__module__ == "netdef.nn.python_layer" for child in module.modules())


@contextmanager
def _not_counting(norms: Sequence[BatchNorm]) -> Iterator[None]:
    for norm in norms:
        norm.counting = False
    try:
        yield
    finally:
        for norm in norms:
            norm.counting = True
