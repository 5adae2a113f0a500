"""Pass: shapes of all blobs and parameters, in one walk from the inputs to the outputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

from netdef.diagnostics import Label, Span, error
from netdef.graph.draft import Draft
from netdef.graph.share import Sharing
from netdef.ir import UNKNOWN, Blob, Node, Shape, merge
from netdef.layers import Layer, Mismatch


def infer(draft: Draft) -> Draft:
    """Apply each layer's shape rule; sizes that only a database tells are asked for, or stay unknown."""
    inference = _Inference(draft, Sharing(draft))
    nodes = tuple(inference.node(index, node) for index, node in enumerate(draft.nodes))
    inference.check_supplied()
    return replace(draft, nodes=tuple(map(inference.sharing.settled, nodes)))


@dataclass(slots=True)
class _Inference:
    draft: Draft
    sharing: Sharing
    blobs: dict[str, Blob] = field(default_factory=dict)
    producers: dict[str, Node] = field(default_factory=dict)
    supplied: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def node(self, index: int, node: Node) -> Node:
        bottoms = tuple(self.blobs.get(blob.id, blob) for blob in node.bottoms)
        shapes = tuple(blob.shape for blob in bottoms)
        found = self._shapes(node, bottoms, shapes)
        tops = tuple(
            replace(blob, shape=self._supply(node, blob, shape)) for blob, shape in zip(node.tops, found, strict=True)
        )
        node = replace(node, bottoms=bottoms, tops=tops)
        if not self._failed(node):
            node = replace(node, params=self.sharing.params(self.draft.written[index], node, shapes))
        self.blobs.update((blob.id, blob) for blob in tops)
        self.producers.update((blob.id, node) for blob in tops)
        return node

    def _shapes(self, node: Node, bottoms: tuple[Blob, ...], shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shape rule's answer; unknown where the rule cannot be asked or refuses."""
        layer = _layer(node)
        unknown = (UNKNOWN,) * len(node.tops)
        if not (layer.num_bottoms.admits(len(bottoms)) and layer.num_tops.admits(len(node.tops))):
            return unknown
        try:
            found = layer.infer(shapes)
        except Mismatch as mismatch:
            self._reject(node, bottoms, mismatch)
            return unknown
        if layer.is_source and self.draft.options.probe:
            found = self._probe(node, found)
        return found if len(found) == len(node.tops) else unknown

    def _probe(self, node: Node, declared: tuple[Shape, ...]) -> tuple[Shape, ...]:
        assert self.draft.options.probe is not None
        probed = self.draft.options.probe(_layer(node), node.id, node.places)
        self.draft.found.extend(probed.diagnostics)
        if probed.shapes is None:
            return declared
        return tuple(merge(a, Shape(b)) or Shape(b) for a, b in zip(declared, probed.shapes, strict=True))

    def _supply(self, node: Node, blob: Blob, shape: Shape) -> Shape:
        """The shape, completed by what the user supplied for the blob."""
        given = self.draft.options.shapes.get(blob.name)
        if given is None:
            return shape
        self.supplied.add(blob.name)
        merged = merge(shape, given)
        if merged is None:
            message = f'--shape gives "{blob.name}" {given}, but {node.type} "{node.id}" makes it {shape}'
            help = f"a `?` leaves a size to the layer: {blob.name}=?x3x227x227 fits the batches of both phases"
            self.draft.found.append(error("ND0312", message, span=node.places.layer, help=help))
        return merged or shape

    def check_supplied(self) -> None:
        """A supplied shape whose blob is not in the net is a mistake."""
        for name in self.draft.options.shapes:
            if name not in self.supplied:
                self.draft.found.append(error("ND0312", f'--shape names "{name}", which is no blob of the net'))

    def _failed(self, node: Node) -> bool:
        """Whether the layer was refused, so that asking it for parameters makes no sense."""
        return node.id in self.refused or (bool(node.tops) and not _layer(node).num_bottoms.admits(len(node.bottoms)))

    def _reject(self, node: Node, bottoms: tuple[Blob, ...], mismatch: Mismatch) -> None:
        self.refused.add(node.id)
        span, label = node.places.layer, ""
        if mismatch.bottom is not None:
            span, label = node.places.bottoms[mismatch.bottom] or span, str(bottoms[mismatch.bottom].shape)
        labels = self._origin(node, bottoms, mismatch.other)
        help = mismatch.help or self._hint(bottoms, mismatch)
        self.draft.found.append(error(mismatch.code, str(mismatch), span=span, label=label, labels=labels, help=help))

    def _origin(self, node: Node, bottoms: tuple[Blob, ...], other: int | None) -> tuple[Label, ...]:
        """A label at the other bottom: its shape, and the layer that it comes from."""
        span: Span | None = node.places.bottoms[other] if other is not None else None
        if other is None or span is None:
            return ()
        producer = self.producers.get(bottoms[other].id)
        return (Label(span, f"{bottoms[other].shape}{_from(producer) if producer else ''}"),)

    def _hint(self, bottoms: tuple[Blob, ...], mismatch: Mismatch) -> str:
        """Advice of the layers that made the bottoms, when one of them is known for a surprising size."""
        for index in (mismatch.other, mismatch.bottom):
            producer = self._maker(bottoms[index]) if index is not None else None
            hint = _layer(producer).hint(producer.id) if producer else ""
            if hint:
                return hint
        return ""

    def _maker(self, blob: Blob) -> Node | None:
        """The node that decided the size of a blob: its producer, past layers that keep the shape."""
        node = self.producers.get(blob.id)
        while node and len(node.bottoms) == 1 and node.bottoms[0].shape == blob.shape:
            node = self.producers.get(node.bottoms[0].id)
        return node


def _from(producer: Node) -> str:
    place = producer.places.layer
    line = [f"line {place.line}"] if place else []
    words = [_layer(producer).describe()] if _layer(producer).describe() else []
    about = ": ".join(line + words)
    return f', from {producer.type} "{producer.id}"' + (f" ({about})" if about else "")


def _layer(node: Node) -> Layer:
    return cast(Layer, node.layer)
