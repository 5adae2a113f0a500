"""From a graph to a scene: boxes, groups, layout, columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from netdef.ir import Blob, Dim, Graph, Shape
from netdef.report.draw.boxes import Box, boxes, sizes
from netdef.report.draw.columns import fold
from netdef.report.draw.groups import Group, groups
from netdef.report.draw.kinds import Kind, legend
from netdef.report.draw.layout import layout
from netdef.report.draw.rank import Item, Link, rank
from netdef.report.draw.scene import (
    HEAD_SIZE,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    Card,
    Edge,
    Frame,
    Label,
    Rect,
    Scene,
    elide,
    text_width,
)

_GAP, _INNER_GAP = 32.0, 28.0
_MARGIN, _PAD = 24.0, 12.0
_FAR = 3
"""Levels from an input to a reader, beyond which the reader gets a small repetition of the input at its side."""
_IN, _OUT = "\0in\0", "\0out\0"


@dataclass(frozen=True, slots=True)
class _Module:
    """A group laid out by itself: its scene, and where blobs enter and leave it, from its middle."""

    name: str
    scene: Scene
    ports: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Wire:
    """A blob that a box reads from another one."""

    source: str
    target: str
    blob: Blob


def compose(graph: Graph) -> Scene:
    """The picture of a net: its layers from the top to the bottom, in several columns where it is long."""
    all_boxes = {box.id: box for box in boxes(graph)}
    wires = _wires(all_boxes)
    inner = [box.id for box in all_boxes.values() if not box.is_source]
    edges = [(wire.source, wire.target) for wire in wires if not all_boxes[wire.source].is_source]
    found = groups(inner, edges)
    modules = {group.members[0]: _module(group, all_boxes, wires) for group in found}
    owner = {id: group.members[0] for group in found for id in group.members}
    scene = _outside(all_boxes, modules, owner, wires)
    return _titled(scene, graph, legend({box.kind for box in all_boxes.values()}))


def _wires(all_boxes: Mapping[str, Box]) -> list[_Wire]:
    made = {blob.id: box.id for box in all_boxes.values() for blob in box.tops}
    read = {(box.id, blob.id): blob for box in all_boxes.values() for blob in box.bottoms}
    return [_Wire(made[blob.id], target, blob) for (target, _), blob in read.items()]


def _module(group: Group, all_boxes: Mapping[str, Box], wires: Sequence[_Wire]) -> _Module:
    """A group with a port on its upper border for every blob that comes in, and on its lower one for what leaves."""
    inside = {id: all_boxes[id] for id in group.members}
    links: dict[Link, None] = {}
    blobs = {wire.blob.id: wire.blob for wire in wires}
    for wire in wires:
        source = wire.source if wire.source in inside else _IN + wire.blob.id
        target = wire.target if wire.target in inside else _OUT + wire.blob.id
        if wire.source in inside or wire.target in inside:
            links[
                Link(source, target, wire.blob.id, _leaves(all_boxes[wire.source], wire) if source in inside else 0)
            ] = None
    ids = dict.fromkeys(id for link in links for id in (link.source, link.target))
    ports = [Item(id, 0, 0, "first") for id in ids if id.startswith(_IN)]
    ports += [Item(id, 0, 0, "last") for id in ids if id.startswith(_OUT)]
    plan = layout([*(_item(box) for box in inside.values()), *ports], list(links), gap=_INNER_GAP)
    top = 0.0 if any(port.pin == "first" for port in ports) else _INNER_GAP
    bottom = 0.0 if any(port.pin == "last" for port in ports) else _PAD
    width = max(plan.width + 2 * _PAD, text_width(group.name, TEXT_SIZE) + 2 * _PAD)
    side = (width - plan.width) / 2
    scene = Scene(
        width,
        top + plan.height + bottom,
        frames=(Frame(Rect(0, 0, width, top + plan.height + bottom), group.name),),
        edges=tuple(_edge(link, plan.ways[link], bool(link.target in inside)) for link in links),
        labels=tuple(_labels(links, plan.ways, blobs, inside)),
        cards=tuple(_card(box, plan.rects[id].moved(0, 0), group.name) for id, box in inside.items()),
    )
    moved = replace(scene.moved(side, top), frames=scene.frames)
    offsets = {port.id: plan.rects[port.id].x + side - width / 2 for port in ports}
    return _Module(group.name, moved, offsets)


def _outside(
    all_boxes: Mapping[str, Box], modules: Mapping[str, _Module], owner: Mapping[str, str], wires: Sequence[_Wire]
) -> Scene:
    """All groups and the boxes that are in none."""
    blobs = {wire.blob.id: wire.blob for wire in wires}
    items = [_item(box) for id, box in all_boxes.items() if id not in owner]
    items += [Item(id, module.scene.width, module.scene.height) for id, module in modules.items()]
    items.sort(key=lambda item: list(all_boxes).index(item.id))
    links = list(dict.fromkeys(_outer_links(all_boxes, modules, owner, wires)))
    far, references = _references(items, links, all_boxes, blobs)
    links = [link for link in links if link not in far]
    plan = fold(layout([*items, *references], [*links, *far.values()], gap=_GAP))
    cards = [_card(all_boxes[item.id], plan.rects[item.id]) for item in items if item.id not in modules]
    cards += [_reference(item, plan.rects[item.id], all_boxes, blobs) for item in references]
    names = {id: module.name for id, module in modules.items()}
    edges = [
        _edge(link, plan.ways[link], link.target not in modules, elbows=link in plan.elbows, names=names)
        for link in [*links, *far.values()]
    ]
    alone = {id: box for id, box in all_boxes.items() if id not in owner}
    scene = Scene(
        plan.width,
        plan.height,
        edges=tuple(edges),
        labels=tuple(_labels(links, plan.ways, blobs, alone, _module_inputs(links, modules))),
        cards=tuple(cards),
    )
    for id, module in modules.items():
        scene = _joined(scene, module.scene.moved(plan.rects[id].x, plan.rects[id].y))
    return scene


def _outer_links(
    all_boxes: Mapping[str, Box], modules: Mapping[str, _Module], owner: Mapping[str, str], wires: Sequence[_Wire]
) -> Iterator[Link]:
    for wire in wires:
        source, target = owner.get(wire.source, wire.source), owner.get(wire.target, wire.target)
        if source == target:
            continue
        leaves = modules[source].ports[_OUT + wire.blob.id] if source in modules else _leaves(all_boxes[source], wire)
        enters = modules[target].ports[_IN + wire.blob.id] if target in modules else 0.0
        yield Link(source, target, wire.blob.id, leaves, enters)


def _references(
    items: Sequence[Item], links: Sequence[Link], all_boxes: Mapping[str, Box], blobs: Mapping[str, Blob]
) -> tuple[dict[Link, Link], list[Item]]:
    """For each link from an input to a reader far away: a small repetition of the input, linked in its place."""
    levels = rank(items, links)
    far: dict[Link, Link] = {}
    references = []
    for link in links:
        if all_boxes[link.source].is_source and levels[link.target] - levels[link.source] > _FAR:
            id = f"{link.blob}\0{link.target}"
            references.append(Item(id, text_width(blobs[link.blob].name, SMALL_SIZE) + 16, 18))
            far[link] = replace(link, source=id, leaves=0.0)
    return far, references


def _reference(item: Item, rect: Rect, all_boxes: Mapping[str, Box], blobs: Mapping[str, Blob]) -> Card:
    blob = item.id.partition("\0")[0]
    box = next(box for box in all_boxes.values() if any(top.id == blob for top in box.tops))
    return Card(box.id, rect, box.kind, blobs[blob].name, reference=True)


def _item(box: Box) -> Item:
    widths = [text_width(elide(box.id), TITLE_SIZE), *(text_width(line, TEXT_SIZE) for line in box.lines)]
    return Item(box.id, max(80.0, max(widths) + 18), 26.0 + 13.0 * len(box.lines))


def _card(box: Box, rect: Rect, group: str = "") -> Card:
    short = box.id.removeprefix(group).lstrip("/_.") if group else ""
    title = short if any(map(str.isalpha, short)) else box.id
    return Card(box.id, rect, box.kind, elide(title), box.lines)


def _leaves(box: Box, wire: _Wire) -> float:
    """Where a blob leaves its box: in the middle, or side by side with the box's others."""
    ids = [blob.id for blob in box.tops]
    step = _item(box).width / (len(ids) + 1)
    return (ids.index(wire.blob.id) - (len(ids) - 1) / 2) * step


def _edge(
    link: Link,
    way: tuple[tuple[float, float], ...],
    arrow: bool,
    *,
    elbows: bool = False,
    names: Mapping[str, str] | None = None,
) -> Edge:
    source, target = ((names or {}).get(id, id).rpartition("\0")[2] for id in (link.source, link.target))
    return Edge(source, target, link.blob, way, arrow, elbows)


def _labels(
    links: Mapping[Link, None] | Sequence[Link],
    ways: Mapping[Link, tuple[tuple[float, float], ...]],
    blobs: Mapping[str, Blob],
    all_boxes: Mapping[str, Box],
    others: Mapping[str, set[Shape]] | None = None,
) -> Iterator[Label]:
    """Sizes of blobs, where they leave a box or group that changes them."""
    told = set()
    for link in links:
        if link.source.startswith(_IN) or link.target.startswith(_OUT) or (link.source, link.blob) in told:
            continue
        told.add((link.source, link.blob))
        box = all_boxes.get(link.source)
        before = {blob.shape for blob in box.bottoms} if box else (others or {}).get(link.source, set())
        if blobs[link.blob].shape not in before:
            yield _label(ways[link], sizes(blobs[link.blob]))


def _label(way: tuple[tuple[float, float], ...], text: str) -> Label:
    """Right of where the edge begins; left of it where the edge turns right."""
    (x, y), turn = way[0], next((at for at, _ in way if abs(at - way[0][0]) > 1), way[0][0])
    return Label(x - 5 - text_width(text, SMALL_SIZE) * 0.92 if turn > x else x + 5, y + 12, text)


def _module_inputs(links: Sequence[Link], modules: Mapping[str, _Module]) -> dict[str, set[Shape]]:
    return {id: set() for id in modules}


def _joined(a: Scene, b: Scene) -> Scene:
    return replace(
        a, frames=a.frames + b.frames, edges=a.edges + b.edges, labels=a.labels + b.labels, cards=a.cards + b.cards
    )


def _titled(scene: Scene, graph: Graph, kinds: list[Kind]) -> Scene:
    head = HEAD_SIZE + TEXT_SIZE + 22
    keys = sum(text_width(kind.name, TEXT_SIZE) + 34 for kind in kinds)
    width = max(scene.width + 2 * _MARGIN, min(keys + 2 * _MARGIN, 760), 320)
    per_row = width - 2 * _MARGIN
    rows = -(-int(keys) // int(per_row))
    top = _MARGIN + head + 22 * rows
    moved = scene.moved(max(_MARGIN, (width - scene.width) / 2), top)
    return replace(
        moved,
        width=width,
        height=scene.height + top + _MARGIN,
        title=graph.name or "net",
        subtitle=_subtitle(graph),
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
