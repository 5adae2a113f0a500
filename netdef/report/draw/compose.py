"""From a graph to a scene: boxes, groups, layout, columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from netdef.ir import Blob, Dim, Graph
from netdef.report.draw.boxes import Box, boxes
from netdef.report.draw.cards import IN, OUT, Wire, card, item, leaves, wires
from netdef.report.draw.columns import Folded, fold
from netdef.report.draw.groups import groups
from netdef.report.draw.kinds import Kind, legend
from netdef.report.draw.labels import labels
from netdef.report.draw.layout import layout
from netdef.report.draw.module import Module, module
from netdef.report.draw.rank import Item, Link, rank
from netdef.report.draw.scene import HEAD_SIZE, SMALL_SIZE, TEXT_SIZE, Card, Edge, Rect, Scene, text_width

_GAP = 32.0
_MARGIN = 24.0
_FAR = 3
"""Levels from an input to a reader, beyond which the reader gets a small repetition of the input at its side."""


def compose(graph: Graph) -> Scene:
    """The picture of a net: its layers from the top to the bottom, in several columns where it is long."""
    found = {box.id: box for box in boxes(graph)}
    joined = wires(found)
    names = [box.id for box in found.values() if not box.is_source]
    edges = [(wire.source, wire.target) for wire in joined if not found[wire.source].is_source]
    modules = {group.members[0]: (group, module(group, found, joined)) for group in groups(names, edges)}
    owner = {id: head for head, (group, _) in modules.items() for id in group.members}
    scene = _Outside(found, {head: each for head, (_, each) in modules.items()}, owner, joined).scene()
    order = {id: place for place, id in enumerate(found)}  # what the Tab key follows on the page
    scene = replace(scene, cards=tuple(sorted(scene.cards, key=lambda each: order[each.id])))
    return _titled(scene, graph, legend({box.kind for box in found.values()}))


class _Outside:
    """The groups and the boxes that are in none."""

    def __init__(
        self, all_boxes: Mapping[str, Box], modules: Mapping[str, Module], owner: Mapping[str, str], found: list[Wire]
    ) -> None:
        self.boxes, self.modules, self.owner = all_boxes, modules, owner
        self.blobs: dict[str, Blob] = {wire.blob.id: wire.blob for wire in found}
        self.makers = {wire.blob.id: wire.source for wire in found}
        self.links = list(dict.fromkeys(self._links(found)))
        heads = [id for id in all_boxes if owner.get(id, id) == id]
        self.items = [self._item(id) for id in heads]

    def scene(self) -> Scene:
        """All of it."""
        far, repeated = self._repeat()
        near = [link for link in self.links if link not in far]
        drawn = [*near, *far.values()]
        plan = fold(layout([*self.items, *repeated], drawn, gap=_GAP))
        alone = {id: box for id, box in self.boxes.items() if id not in self.owner}
        scene = Scene(
            plan.width,
            plan.height,
            edges=tuple(edge for link in drawn for edge in self._edges(link, plan)),
            labels=tuple(labels(near, {**plan.ways, **plan.elbows}, self.blobs, alone, (0, plan.width))),
            cards=tuple(card(box, plan.rects[id]) for id, box in alone.items())
            + tuple(self._repetition(each, plan.rects[each.id]) for each in repeated),
        )
        for id, each in self.modules.items():
            scene = _joined(scene, each.scene.moved(plan.rects[id].x, plan.rects[id].y))
        return scene

    def _edges(self, link: Link, plan: Folded) -> Iterator[Edge]:
        """One, or two where the link goes on in the next column."""
        source, target = self.makers[link.blob], "" if link.target in self.modules else link.target
        if link in plan.elbows:
            yield Edge(source, "" if link in plan.ways else target, link.blob, plan.elbows[link], True)
        if link in plan.ways:
            yield Edge(source, target, link.blob, plan.ways[link])

    def _item(self, id: str) -> Item:
        if id not in self.modules:
            return item(self.boxes[id])
        return Item(id, self.modules[id].scene.width, self.modules[id].scene.height)

    def _links(self, found: Sequence[Wire]) -> Iterator[Link]:
        for wire in found:
            source, target = (self.owner.get(id, id) for id in (wire.source, wire.target))
            if source != target:
                yield Link(
                    source, target, wire.blob.id, self._leaves(source, wire.blob), self._enters(target, wire.blob)
                )

    def _leaves(self, source: str, blob: Blob) -> float:
        return self.modules[source].ports[OUT + blob.id] if source in self.modules else leaves(self.boxes[source], blob)

    def _enters(self, target: str, blob: Blob) -> float:
        return self.modules[target].ports[IN + blob.id] if target in self.modules else 0.0

    def _repeat(self) -> tuple[dict[Link, Link], list[Item]]:
        """For each link from an input to a reader far away: a small repetition of the input, linked in its place."""
        levels = rank(self.items, self.links)
        far: dict[Link, Link] = {}
        repeated = []
        for link in self.links:
            if self.boxes[link.source].is_source and levels[link.target] - levels[link.source] > _FAR:
                id = f"{link.blob}\0{link.target}"
                repeated.append(Item(id, text_width(self.blobs[link.blob].name, SMALL_SIZE) + 16, 18))
                far[link] = replace(link, source=id, leaves=0.0)
        return far, repeated

    def _repetition(self, each: Item, rect: Rect) -> Card:
        blob = each.id.partition("\0")[0]
        box = self.boxes[self.makers[blob]]
        return Card(box.id, rect, box.kind, self.blobs[blob].name, reference=True)


def _joined(a: Scene, b: Scene) -> Scene:
    return replace(
        a, frames=a.frames + b.frames, edges=a.edges + b.edges, labels=a.labels + b.labels, cards=a.cards + b.cards
    )


def _titled(scene: Scene, graph: Graph, kinds: list[Kind]) -> Scene:
    """The scene below its heading and the legend."""
    keys = sum(text_width(kind.name, TEXT_SIZE) + 34 for kind in kinds)
    subtitle = _subtitle(graph)
    heading = max(text_width(graph.name, HEAD_SIZE), text_width(subtitle, TEXT_SIZE), min(keys, 560.0))
    width = max(scene.width, heading) + 2 * _MARGIN
    rows = -(-int(keys) // int(width - 2 * _MARGIN))
    top = _MARGIN + HEAD_SIZE + TEXT_SIZE + 22 + 22 * rows
    return replace(
        scene.moved((width - scene.width) / 2, top),
        width=width,
        height=scene.height + top + _MARGIN,
        title=graph.name or "net",
        subtitle=subtitle,
        legend=tuple(kinds),
    )


def _subtitle(graph: Graph) -> str:
    cost = graph.cost
    parts = [graph.phase, f"{len(graph.nodes)} layers", f"{_count(cost.parameters)} parameters"]
    parts.append(f"{_count(cost.multiply_adds)} multiply-adds")
    batch = next((blob.shape[0] for blob in graph.inputs if blob.shape.dims), None)
    return " · ".join(parts) + (f" at batch size {batch}; sizes are shown without it" if batch else "")


def _count(number: Dim) -> str:
    if number is None:
        return "?"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return str(number)
