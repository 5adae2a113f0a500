"""How are BatchNorm, Scale and Bias merged into the layers around them: the same function in fewer layers?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from netdef.graph.affine import Affine, Array, Arrays, Host, affine, ahead, behind
from netdef.graph.bypass import bypass, without
from netdef.graph.constants import Evaluate, store_constants
from netdef.graph.filled import without_effect
from netdef.ir import Graph, Node, Param, Shape, verify
from netdef.layers.affine import Scale

Step = Callable[[Node, Node], Node | None]
"""Makes one node of two, the second reading the first; None where it cannot."""

Absorb = Callable[[Host, Shape, Array, Array, Affine], tuple[Array, Array] | None]


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded net.

    Attributes:
        graph: what is left.
        arrays: the values of its parameters, by Param id.
        removed: the ids of the layers that are gone.
    """

    graph: Graph
    arrays: dict[str, Array]
    removed: tuple[str, ...]


def fold(
    graph: Graph,
    arrays: Arrays,
    keep: Iterable[str] = (),
    *,
    evaluate: Evaluate | None = None,
    fixed_size: bool = False,
) -> Folded:
    """The same function in fewer layers, for a net of phase TEST (another one is returned as it is).

    BatchNorm with kept statistics, and Scale and Bias with parameters along one axis, go into the Convolution,
    Deconvolution or InnerProduct before them, or behind them where that is exact (no shift may meet padding); a
    BatchNorm or Bias that finds none goes into a Scale next to it, and so does a Power that only multiplies and adds.
    What no input decides is computed once (see `store_constants`); layers that do nothing go too (see `bypass`).
    Parameters that several layers share are left alone, and so are the graph's outputs and the blobs in `keep`. A blob
    that survives has the value that it had.

    Args:
        graph: a compiled net.
        arrays: the values of its parameters, by Param id.
        keep: ids of blobs to keep besides the outputs.
        evaluate: computes what no input decides; left in its layers if None.
        fixed_size: whether no size but the batch will ever be another one, so that a Power that gives one number needs
            nothing of what it reads.
    """
    if graph.phase != "TEST":
        return Folded(graph, dict(arrays), ())
    wanted = frozenset((*keep, *(blob.id for blob in graph.outputs)))
    alive = without_effect(graph, wanted) if fixed_size else graph
    start, held = store_constants(alive, arrays, wanted, evaluate) if evaluate else (alive, dict(arrays))
    work = _Work(bypass(start, wanted), held, wanted, _shared(start))
    for step in (work.fold_behind, work.fold_ahead, work.fold_together):
        work.repeat(step)
    work.drop_idle()
    left = verify(work.graph)
    kept = {id: work.arrays[id].astype(np.float32, copy=False) for id in left.params}
    return Folded(left, kept, tuple(node.id for node in graph.nodes if node.id not in left.layers))


@dataclass(slots=True)
class _Work:
    graph: Graph
    arrays: dict[str, Array]
    wanted: frozenset[str]
    shared: frozenset[str]

    def repeat(self, step: Step) -> None:
        """Try a step on each pair of a node and the only reader of its top, until it finds no more."""
        while sum(self._merge(first, second, step) for first, second in self._pairs()):
            pass  # what was made may have a reader that is next

    def fold_behind(self, first: Node, second: Node) -> Node | None:
        """A host that takes in what comes behind it."""
        done = self._affine(second)
        return self._hosting(first, behind, done, bottoms=first, tops=second) if done else None

    def fold_ahead(self, first: Node, second: Node) -> Node | None:
        """A host that takes in what comes before it."""
        done = self._affine(first)
        return self._hosting(second, ahead, done, bottoms=first, tops=second) if done else None

    def fold_together(self, first: Node, second: Node) -> Node | None:
        """A Scale, one of the two or a new one in the place of the second, that does the work of both."""
        one, two = self._affine(first), self._affine(second)
        if not (one and two and one.agrees(two)):
            return None
        both = two.after(one)
        host = first if first.type == "Scale" else second
        if host.type != "Scale" or (both.axis is not None) != bool(self.arrays[host.params[0].id].ndim):
            return None
        node = _with_bias(replace(host, bottoms=first.bottoms, tops=second.tops))
        self._store(node, both.scale, both.shift)
        return node

    def drop_idle(self) -> None:
        """Take out what multiplies by 1 and adds 0."""
        for node in self.graph.nodes:
            done = self._affine(node)
            if done and (done.scale == 1).all() and not done.shift.any():
                self.graph = without(self.graph, node.id, {*self.wanted, *(blob.id for blob in self.graph.inputs)})

    def _hosting(self, host: Node, absorb: Absorb, done: Affine, *, bottoms: Node, tops: Node) -> Node | None:
        layer = host.layer
        if not isinstance(layer, Host) or not self._own(host):
            return None
        weight, *bias = (self.arrays[param.id].astype(np.float64) for param in host.params)
        zeros = np.zeros(layer.num_output)
        folded = absorb(layer, host.bottoms[0].shape, weight, bias[0] if bias else zeros, done)
        if folded is None:
            return None
        node = _with_bias(replace(host, bottoms=bottoms.bottoms, tops=tops.tops))
        self._store(node, *folded)
        return node

    def _store(self, node: Node, *values: Array) -> None:
        self.arrays.update((param.id, value) for param, value in zip(node.params, values, strict=True))

    def _affine(self, node: Node) -> Affine | None:
        return affine(node, self.arrays) if self._own(node) else None

    def _own(self, node: Node) -> bool:
        """Whether no other layer has a part in a node's parameters, and it makes one blob of one."""
        alone = self.shared.isdisjoint(param.id for param in node.params)
        return alone and len(node.bottoms) == len(node.tops) == 1 and not any(node.loss_weights)

    def _pairs(self) -> list[tuple[Node, Node]]:
        """Each node with the only reader of its only top, where nobody asked for that blob."""
        readers: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            for blob in node.bottoms:
                readers.setdefault(blob.id, []).append(node)
        return [
            (node, readers[node.tops[0].id][0])
            for node in self.graph.nodes
            if len(node.tops) == 1 and node.tops[0].id not in self.wanted and len(readers.get(node.tops[0].id, ())) == 1
        ]

    def _merge(self, first: Node, second: Node, step: Step) -> bool:
        """Put what a step makes of two nodes in the place of the second, which all that the first reads precedes."""
        layers = self.graph.layers
        if layers.get(first.id) is not first or layers.get(second.id) is not second:
            return False  # merged with another one meanwhile
        made = step(first, second)
        if made is None:
            return False
        nodes = (made if node is second else node for node in self.graph.nodes if node is not first)
        self.graph = replace(self.graph, nodes=tuple(nodes))
        return True


def _shared(graph: Graph) -> frozenset[str]:
    users = Counter(param.id for node in graph.nodes for param in node.params)
    return frozenset(id for id, count in users.items() if count > 1)


def _with_bias(node: Node) -> Node:
    """The node with a bias, if it has none."""
    assert isinstance(node.layer, Host | Scale)
    if node.layer.bias_term:
        return node
    node = replace(node, layer=replace(node.layer, bias_term=True))
    spec = node.specs[-1]
    return replace(node, params=(*node.params, Param(f"{node.id}.{spec.name}", spec)))
