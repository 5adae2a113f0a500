"""What remains of a net that is deployed? Losses become predictions; labels, metrics and all that is unused go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from netdef.diagnostics import NetdefError, error
from netdef.graph.bypass import needed
from netdef.graph.filled import constant, following
from netdef.graph.twins import one_tower
from netdef.ir import Blob, Graph, Node, Places
from netdef.layers import Layer, registry
from netdef.layers.data import Input

SINKS = frozenset({"Accuracy", "Silence"})
"""Layers that tell something of the run and make nothing that is used."""

LINKS: dict[str, Callable[[Any], tuple[str, dict[str, Any]]]] = {
    "SoftmaxWithLoss": lambda layer: ("Softmax", {"axis": layer.axis}),
    "InfogainLoss": lambda layer: ("Softmax", {"axis": layer.axis}),
    "SigmoidCrossEntropyLoss": lambda layer: ("Sigmoid", {}),
}
"""The layer that turns the scores before such a loss into predictions; before any other loss they are that already.
`Any`, because each loss has its own fields."""

_USUAL_TOP = {"Softmax": "prob", "Sigmoid": "prob"}


def deploy(graph: Graph) -> Graph:
    """The net as a person would write its deploy prototxt, made from the net that trains and tests.

    Losses become their predictions: SoftmaxWithLoss a Softmax, SigmoidCrossEntropyLoss a Sigmoid, any other loss the
    blob that it judges. Losses that only the training phase has count too. Of several losses of one type on one label
    only those with the largest weight count, since the others merely aid training. Of a siamese pair one tower stays.

    Accuracy and Silence go, and then every layer and input that no output needs. Data layers become Inputs of the same
    shape; a DummyData with constant fillers beside them is part of the net and stays. A net without losses keeps its
    outputs, and one that ends only in metrics outputs what they judge.
    """
    graph = _without_twins(graph)
    kept = tuple(node for node in graph.nodes if not node.layer.is_loss and node.type not in SINKS)
    losses = tuple(_heaviest(node for node in graph.nodes if node.layer.is_loss))
    links, predictions = _predict(graph, kept, losses)
    made = {blob.id for node in kept for blob in node.tops if node.bottoms or node.params}
    outputs = [blob for blob in graph.outputs if blob.id in made]
    if not predictions and not outputs:
        predictions = [node.bottoms[0] for node in graph.nodes if node.type == "Accuracy"]
    if not losses:
        outputs, predictions = (_aimed(graph, kept, links, blobs) for blobs in (outputs, predictions))
    wanted = _unique([*outputs, *predictions])
    ids = {blob.id for blob in wanted}
    nodes = following(tuple(_inputs(needed((*kept, *links), ids), ids)))
    inputs = tuple(blob for node in nodes if node.layer.is_source for blob in node.tops)
    return replace(graph, nodes=nodes, inputs=inputs, outputs=tuple(wanted))


def demand_work(graph: Graph) -> Graph:
    """The graph itself, if there is something in it to deploy.

    Raises:
        NetdefError: ND0906, it has no output, or none that is computed.
    """
    given = {blob.id for blob in graph.inputs}
    if graph.outputs and any(blob.id not in given for node in graph.nodes for blob in node.tops):
        return graph
    raise NetdefError([error("ND0906", f'net "{graph.name}" computes nothing that could be deployed')])


def removed(before: Graph, after: Graph) -> tuple[Node, ...]:
    """The layers that `deploy` left out."""
    return tuple(node for node in before.nodes if not _survives(node, after))


def _survives(node: Node, after: Graph) -> bool:
    return any(blob.id in after.blobs for blob in node.tops)


def _heaviest(losses: Iterable[Node]) -> Iterator[Node]:
    """Of the losses that judge against the same label in the same way, those with the largest weight."""
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in losses:
        groups.setdefault((node.type, node.bottoms[1].id), []).append(node)
    for group in groups.values():
        top = max(node.loss_weights[0] for node in group)
        yield from (node for node in group if node.loss_weights[0] == top)


def _predict(graph: Graph, kept: tuple[Node, ...], losses: tuple[Node, ...]) -> tuple[list[Node], list[Blob]]:
    """For each loss the blob that it judges, with the layer that finishes it where the loss contained one."""
    links: list[Node] = []
    predictions: list[Blob] = []
    for loss in losses:
        for score in _judged(graph, loss):
            node = _link(loss, score, (*kept, *links), graph)
            if node is None:
                predictions.append(score)
                continue
            if node not in (*kept, *links):
                links.append(node)
            predictions.append(node.tops[0])
    return links, predictions


def _aimed(graph: Graph, kept: tuple[Node, ...], links: list[Node], scores: list[Blob]) -> list[Blob]:
    """The scores, or what a loss that only training has would make of them."""
    found = []
    for score in scores:
        aim = next((aim for aim in graph.aims if aim.type in LINKS and aim.bottoms[0].id == score.id), None)
        node = _link(aim, score, (*kept, *links), graph) if aim else None
        if node and node not in (*kept, *links):
            links.append(node)
        found.append(node.tops[0] if node else score)
    return found


def _without_twins(graph: Graph) -> Graph:
    """The graph of one tower, where the only thing that it is for is to compare two alike."""
    ends = [node for node in graph.nodes if node.layer.is_loss]
    pair = ends[0].bottoms[:2] if len(ends) == 1 and ends[0].type == "ContrastiveLoss" else ()
    if len(pair) != 2 or any(node.type not in SINKS for node in _ends(graph) if node is not ends[0]):
        return graph
    nodes = one_tower(graph, *pair)
    return graph if nodes is None else replace(graph, nodes=tuple(_judging(nodes, ends[0], pair[0])))


def _ends(graph: Graph) -> list[Node]:
    """The nodes that no other one reads from."""
    read = {blob.id for node in graph.nodes for blob in node.bottoms}
    return [node for node in graph.nodes if read.isdisjoint(blob.id for blob in node.tops) and node.bottoms]


def _judging(nodes: Iterable[Node], loss: Node, feature: Blob) -> Iterator[Node]:
    """The nodes, the loss reading the one feature in the place of both."""
    for node in nodes:
        yield replace(loss, bottoms=(feature, feature, *loss.bottoms[2:])) if node is loss else node


def _judged(graph: Graph, loss: Node) -> list[Blob]:
    """The bottoms that the net computes, but for the label side; two of them for a siamese pair."""
    if loss.type == "ContrastiveLoss":
        return list(loss.bottoms[:2])
    refused = loss.layer.label_bottoms
    able = [blob for index, blob in enumerate(loss.bottoms[:2]) if index not in refused]
    learned = _learned(graph)
    return [blob for blob in able if blob.id in learned][:1] or able[:1]


def _learned(graph: Graph) -> set[str]:
    """The blobs that parameters have a part in: what the net computes, not what it is given."""
    learned: set[str] = set()
    for node in graph.nodes:
        if node.params or any(blob.id in learned for blob in node.bottoms):
            learned.update(blob.id for blob in node.tops)
    return learned


def _link(loss: Node, score: Blob, nodes: tuple[Node, ...], graph: Graph) -> Node | None:
    """The layer that makes predictions of the scores: one that the net has already, or a new one."""
    if loss.type not in LINKS:
        return None
    name, fields = LINKS[loss.type](loss.layer)
    layer = registry()[name](**fields)
    for node in nodes:
        if node.layer == layer and node.bottoms == (score,):
            return node
    top = _top_name(loss, name, graph, nodes)
    return Node(
        id=top,
        name=top,
        layer=layer,
        bottoms=(score,),
        tops=(Blob(top, top, score.shape),),
        loss_weights=(0.0,),
        propagate=(loss.propagate[[blob.id for blob in loss.bottoms].index(score.id)],),
        places=Places(layer=loss.places.layer, type=loss.places.type),
    )


def _top_name(loss: Node, kind: str, graph: Graph, nodes: tuple[Node, ...]) -> str:
    """The loss's own second top, else the usual name, else the loss layer's."""
    taken = {node.id for node in nodes} | {blob.id for node in nodes for blob in node.tops}
    if len(loss.tops) > 1:
        return loss.tops[1].id
    usual = _USUAL_TOP[kind]
    return usual if usual not in taken else f"{loss.id}_{usual}" if loss.id in taken else loss.id


def _inputs(nodes: tuple[Node, ...], wanted: set[str]) -> Iterator[Node]:
    """The nodes, with every data layer as one Input for each of its tops that is read, or as what it is filled with.

    A net that reads nothing but constants is there to be timed: these stand for its data.
    """
    read = {blob.id for node in nodes for blob in node.bottoms} | wanted
    given = [(node, blob) for node in nodes for blob in node.tops if node.layer.is_source and blob.id in read]
    real = any(constant(node, blob) is None for node, blob in given)
    for node in nodes:
        if not node.layer.is_source:
            yield node
            continue
        for blob in node.tops:
            if blob.id in read:
                yield _standing_for(node, blob, (constant(node, blob) if real else None) or _input(blob))


def _input(blob: Blob) -> Layer:
    return Input((blob.shape,))


def _standing_for(node: Node, blob: Blob, layer: Layer) -> Node:
    name = node.name if len(node.tops) == 1 else blob.name
    return replace(node, id=name, name=name, layer=layer, tops=(blob,), loss_weights=(0.0,))


def _unique(blobs: Iterable[Blob]) -> list[Blob]:
    return list({blob.id: blob for blob in blobs}.values())
