"""The intermediate representation: nodes in the order of their work, joined by blobs that are written once (SSA)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from netdef.diagnostics import Span
from netdef.ir.cost import Cost, Keeps, float_bytes, total
from netdef.ir.filler import Filler
from netdef.ir.shape import Shape

Phase = Literal["TRAIN", "TEST"]


class Rule(Protocol):
    """What a graph and its passes ask of a node's layer; `netdef.layers.Layer` has it, and more besides."""

    @property
    def type(self) -> str:
        """Caffe's name of the layer type."""

    @property
    def is_source(self) -> bool:
        """Whether the tops come from outside the graph."""

    @property
    def is_loss(self) -> bool:
        """Whether the first top counts into the loss unless `loss_weight` says otherwise."""

    @property
    def in_place(self) -> bool:
        """Whether a top may have a bottom's name."""

    @property
    def label_bottoms(self) -> frozenset[int]:
        """The bottoms that no gradient flows to."""

    @property
    def keeps(self) -> Keeps:
        """What the backward pass needs of the forward pass."""

    def describe(self) -> str:
        """The fields that decide the shape, in a few words."""

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Shapes of the tops."""

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """Parameters that the layer owns."""

    def cost(self, bottoms: tuple[Shape, ...], tops: tuple[Shape, ...]) -> int | None:
        """Multiply-adds of one forward pass."""


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """A parameter that a layer asks for.

    Attributes:
        name: its name in a torch ``state_dict``, after the layer's (``weight`` in ``conv1.weight``).
        shape: Caffe's shape of it.
        filler: how it begins.
        statistic: a running statistic that no gradient reaches (BatchNorm's three).
        preset: the layer's own code gives it its first values, not the filler (Python layers).
    """

    name: str
    shape: Shape
    filler: Filler
    statistic: bool = False
    preset: bool = False


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of the graph, the same object in every node that shares it.

    Attributes:
        id: ``<node id>.<spec name>`` of its owner, unique in the graph.
        spec: what the owner asked for.
        lr_mult: factor on the learning rate; 0 freezes it.
        decay_mult: factor on the weight decay.
        shared_name: Caffe's ``param { name }``, or empty.
    """

    id: str
    spec: ParamSpec
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    shared_name: str = ""

    @property
    def owner(self) -> str:
        """The id of the node that owns it; a spec's own name may have dots (a user's module within a module)."""
        return self.id.removesuffix(f".{self.spec.name}")


@dataclass(frozen=True, slots=True)
class Blob:
    """A value that one node writes once.

    Attributes:
        id: unique in the graph: Caffe's name for the last value under that name, ``name@layer`` for the
            earlier values of an in-place chain.
        name: Caffe's name.
        shape: its sizes as far as they are known.
    """

    id: str
    name: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Places:
    """Where a node's layer is written; None where it never had a text.

    Attributes:
        layer, type, bottoms, tops: its opening, and the values of the fields of those names.
        fields: of a layer that brings data in, the values of the fields in its parameters (`source`, `mean_file` …).
    """

    layer: Span | None = None
    type: Span | None = None
    bottoms: tuple[Span | None, ...] = ()
    tops: tuple[Span | None, ...] = ()
    fields: Mapping[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """One layer of the net, decoded and wired.

    Attributes:
        id: unique in the graph: the layer's name, with ``#2`` and so on where a name is used again.
        name: the layer's name as written.
        layer: the decoded layer, with its rules.
        bottoms, tops: the blobs it reads and writes.
        params: its parameters, shared ones being the owner's.
        loss_weights: one for each top; 0 keeps a top out of the loss.
        propagate: for each bottom, whether a gradient flows back to it.
        places: where it is written.
    """

    id: str
    name: str
    layer: Rule
    bottoms: tuple[Blob, ...]
    tops: tuple[Blob, ...]
    params: tuple[Param, ...] = ()
    loss_weights: tuple[float, ...] = ()
    propagate: tuple[bool, ...] = ()
    places: Places = field(default_factory=Places, compare=False, repr=False)

    @property
    def type(self) -> str:
        """Caffe's name of the layer type."""
        return self.layer.type

    @property
    def specs(self) -> tuple[ParamSpec, ...]:
        """What its layer asks for each of its parameters; one that is shared may be otherwise with its owner."""
        return self.layer.params(tuple(blob.shape for blob in self.bottoms))

    @property
    def cost(self) -> Cost:
        """What the layer costs; a shared parameter counts with its owner alone."""
        own = [param.spec for param in self.params if param.owner == self.id]
        in_place = {blob.name for blob in self.bottoms}
        written = (blob.shape for blob in self.tops if blob.name not in in_place)
        bottoms, tops = (tuple(blob.shape for blob in blobs) for blobs in (self.bottoms, self.tops))
        return Cost(
            total(spec.shape.count() for spec in own if not spec.statistic),
            total(spec.shape.count() for spec in own if spec.statistic),
            self.layer.cost(bottoms, tops),
            total(float_bytes(shape.count()) for shape in written),
        )


@dataclass(frozen=True)
class Graph:
    """A net for one phase, level and set of stages.

    Attributes:
        name: the net's name.
        phase: TRAIN or TEST.
        nodes: the layers, each after those that it reads from.
        inputs: the blobs that data layers and inputs bring in, in the order of the file.
        outputs: the blobs that no layer reads, in the order of their names (Caffe's net outputs).
        path: the file it came from, or None.
        aims: the losses that the net has in other phases alone, without tops: what its outputs are trained for.
    """

    name: str
    phase: Phase
    nodes: tuple[Node, ...]
    inputs: tuple[Blob, ...]
    outputs: tuple[Blob, ...]
    path: str | None = None
    aims: tuple[Node, ...] = field(default=(), compare=False, repr=False)

    @cached_property
    def blobs(self) -> dict[str, Blob]:
        """Every blob by id; Caffe's name finds its last value."""
        return {blob.id: blob for node in self.nodes for blob in node.tops}

    @cached_property
    def layers(self) -> dict[str, Node]:
        """Every node by id (the layer's name, unless that was used before)."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that writes each blob, by blob id."""
        return {blob.id: node for node in self.nodes for blob in node.tops}

    @cached_property
    def params(self) -> dict[str, Param]:
        """Every parameter once, by id, in the order of Caffe's learnable parameters."""
        return {param.id: param for node in self.nodes for param in node.params}

    @cached_property
    def cost(self) -> Cost:
        """Parameters, multiply-adds and memory of the whole net."""
        costs = [node.cost for node in self.nodes]
        return Cost(
            total(cost.parameters for cost in costs),
            total(cost.statistics for cost in costs),
            total(cost.multiply_adds for cost in costs),
            total(cost.activation_bytes for cost in costs),
        )

    def losses(self) -> Iterator[tuple[Blob, float]]:
        """The blobs that make up the loss, each with its weight."""
        for node in self.nodes:
            for blob, weight in zip(node.tops, node.loss_weights, strict=True):
                if weight:
                    yield blob, weight
