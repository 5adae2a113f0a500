"""What does a group look like inside: an inception module, a residual block?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from netdef.report.draw.boxes import Box
from netdef.report.draw.cards import IN, OUT, Wire, card, item, leaves
from netdef.report.draw.groups import Group
from netdef.report.draw.labels import labels
from netdef.report.draw.layout import Layout, layout
from netdef.report.draw.rank import Item, Link
from netdef.report.draw.scene import TEXT_SIZE, Edge, Frame, Rect, Scene, text_width

_GAP, _PAD = 28.0, 12.0


@dataclass(frozen=True, slots=True)
class Module:
    """A group laid out by itself: its scene, and where blobs enter and leave it, from its middle, by port."""

    scene: Scene
    ports: Mapping[str, float]


def module(group: Group, boxes: Mapping[str, Box], wires: Sequence[Wire]) -> Module:
    """The group's boxes in a frame; ports on the upper border let blobs in, on the lower border out."""
    inside = {id: boxes[id] for id in group.members}
    links = {_link(wire, inside): wire for wire in wires if wire.source in inside or wire.target in inside}
    ids = dict.fromkeys(id for link in links for id in (link.source, link.target))
    ports = [Item(id, 0, 0, "first") for id in ids if id.startswith(IN)]
    ports += [Item(id, 0, 0, "last") for id in ids if id.startswith(OUT)]
    plan = layout([*map(item, inside.values()), *ports], list(links), gap=_GAP)
    frame = _frame(group.name, plan, {port.pin for port in ports})
    side, top = (frame.rect.width - plan.width) / 2, frame.rect.height - plan.height
    top = 0.0 if any(port.pin == "first" for port in ports) else min(top, _GAP)
    blobs = {wire.blob.id: wire.blob for wire in wires}
    scene = Scene(
        frame.rect.width,
        frame.rect.height,
        edges=tuple(
            Edge(wire.source, link.target if link.target in inside else "", link.blob, plan.ways[link])
            for link, wire in links.items()
        ),
        labels=tuple(labels(links, plan.ways, blobs, inside, (4 - side, plan.width + side - 4))),
        cards=tuple(card(box, plan.rects[id], group.name) for id, box in inside.items()),
    )
    offsets = {port.id: plan.rects[port.id].x + side - frame.rect.width / 2 for port in ports}
    return Module(replace(scene.moved(side, top), frames=(frame,)), offsets)


def _link(wire: Wire, inside: Mapping[str, Box]) -> Link:
    source = wire.source if wire.source in inside else IN + wire.blob.id
    target = wire.target if wire.target in inside else OUT + wire.blob.id
    return Link(source, target, wire.blob.id, leaves(inside[source], wire.blob) if source in inside else 0.0)


def _frame(name: str, plan: Layout, pins: set[str]) -> Frame:
    """Around all of it; a side that no blob crosses keeps some distance."""
    width = max(plan.width, text_width(name, TEXT_SIZE)) + 2 * _PAD
    height = plan.height + (0.0 if "first" in pins else _GAP) + (0.0 if "last" in pins else _PAD)
    return Frame(Rect(0, 0, width, height), name)
