"""What computes a batch whose images have another size than those that the net was built for?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, fx

from netdef.diagnostics import NetdefError, error
from netdef.graph.reshape import CannotTake, reshaped
from netdef.ir import Graph, Node, Shape
from netdef.ir.filler import ZERO
from netdef.solver.calling import Call, wrap
from netdef.solver.style import Style
from netdef.solver.team import Team
from netdef.targets.torch import build_module, share

Batch = Mapping[str, Tensor]
Sizes = tuple[tuple[int, ...], ...]


class OtherSizes:
    """A net for every size that its batches come in, all with the parameters of the first (Caffe's Net::Reshape).

    Each is built when its size first comes, for windows and paddings follow from it.
    """

    def __init__(self, graph: Graph, module: fx.GraphModule, style: Style, team: Team) -> None:
        self._graph, self._module, self._style, self._team = graph, module, style, team
        self._blobs = {argument: blob for blob, argument in module.meta["inputs"].items()}
        self._usual: Sizes | None = None
        self._nets: dict[Sizes, tuple[Graph, Call]] = {}

    def call(self, batch: Batch) -> Call | None:
        """What computes the batch; None for the net as it was built."""
        sizes = tuple(value.shape for value in batch.values())
        if sizes == self._usual:
            return None
        if self._is_usual(batch):
            self._usual = sizes
            return None
        if sizes not in self._nets:
            self._nets[sizes] = self._build(batch)
        return self._nets[sizes][1]

    def graph(self, batch: Batch) -> Graph:
        """The net with the sizes of a batch that has been computed."""
        found = self._nets.get(tuple(value.shape for value in batch.values()))
        return found[0] if found else self._graph

    def _is_usual(self, batch: Batch) -> bool:
        return all(tuple(value.shape) == self._expected(name).known_sizes() for name, value in batch.items())

    def _expected(self, argument: str) -> Shape:
        return self._graph.blobs[self._blobs[argument]].shape

    def _build(self, batch: Batch) -> tuple[Graph, Call]:
        try:
            if self._team.world > 1:
                raise self._refusal(batch, "processes that train together need batches of one size")
            graph = reshaped(self._graph, {self._blobs[name]: Shape(tuple(x.shape)) for name, x in batch.items()})
        except CannotTake as fault:
            raise self._refusal(batch, str(fault)) from fault
        module = build_module(_empty(graph), outputs=self._module.meta["outputs"], with_loss=True)
        share(self._module, self._graph, module, graph)
        return graph, wrap(module.to(self._style.device), graph, self._style)

    def _refusal(self, batch: Batch, why: str) -> NetdefError:
        name, value = next(
            (name, x) for name, x in batch.items() if tuple(x.shape) != self._expected(name).known_sizes()
        )
        node = self._source(self._blobs[name])
        found, expected = Shape(tuple(value.shape)), self._expected(name)
        message = f'layer "{node.name}": a batch is {found}, and the net was built for {expected}: {why}'
        help = "set `crop_size`; or make the records equal when you import them"
        span = node.places.fields.get("source") or node.places.layer
        return NetdefError([error("ND0511", message, span=span, help=help)])

    def _source(self, blob: str) -> Node:
        return next(node for node in self._graph.nodes if any(top.id == blob for top in node.tops))


def _empty(graph: Graph) -> Graph:
    """The graph without the work of its fillers: its parameters are about to be another net's."""
    specs = {param.id: replace(param.spec, filler=ZERO) for param in graph.params.values()}
    nodes = (replace(n, params=tuple(replace(p, spec=specs[p.id]) for p in n.params)) for n in graph.nodes)
    return replace(graph, nodes=tuple(nodes))
