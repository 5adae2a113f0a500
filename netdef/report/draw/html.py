"""A scene as one page without a network: zoom, pan, search, and what is known of a layer beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import Any

from netdef.ir import Blob, Graph, Node, Shape
from netdef.report.draw.boxes import boxes
from netdef.report.draw.page import SCRIPT, STYLE
from netdef.report.draw.scene import Scene
from netdef.report.draw.svg import body, clean

Facts = list[tuple[str, str]]
"""What the page shows of a layer: a name and a value a line."""


def html(scene: Scene, graph: Graph) -> str:
    """The page as a file of its own. All text that a net brings is escaped: it is data, never markup or script."""
    title = escape(clean(f"{scene.title} ({graph.phase})"))
    size = f'data-width="{scene.width:.0f}" data-height="{scene.height:.0f}"'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<header>
<input id="search" type="search" placeholder="Search layers, types, blobs ( / )" aria-label="Search layers">
<span id="count" role="status"></span>
<button id="in" title="Zoom in (+)">+</button><button id="out" title="Zoom out (-)">&minus;</button>\
<button id="fit" title="Show all (0)">Fit</button>
<span class="hint">drag or arrows: move · wheel or + &minus;: zoom · Tab: next layer · / search · \
Enter: next hit · Esc: close</span>
</header>
<main>
<svg id="net" xmlns="http://www.w3.org/2000/svg" {size} role="group" aria-label="{title}">
{body(scene)}</svg>
<aside id="panel" aria-live="polite" hidden></aside>
</main>
<script type="application/json" id="facts">{_json(details(graph))}</script>
<script>
{SCRIPT}</script>
</body>
</html>
"""


def details(graph: Graph) -> dict[str, list[Facts]]:
    """What is known of the layers of each box, by the box's id as the picture has it."""
    return {clean(box.id): [list(_facts(node)) for node in box.nodes] for box in boxes(graph)}


def _facts(node: Node) -> Iterator[tuple[str, str]]:
    """A layer's name first, then its type, blobs, fields, parameters, cost and place."""
    yield "layer", node.id
    yield "type", node.type
    yield from (("bottom", _blob(blob)) for blob in node.bottoms)
    yield from (("top", _blob(blob)) for blob in node.tops)
    yield from (("loss weight", f"{weight:g}") for weight in node.loss_weights if weight)
    yield from _fields(node.layer)
    for param in node.params:
        shared = f" (shared: {param.shared_name})" if param.shared_name else ""
        yield param.spec.name, f"{param.spec.shape}, lr_mult {param.lr_mult:g}{shared}"
    cost = node.cost
    if cost.parameters:
        yield "parameters", f"{cost.parameters:,}"
    if cost.multiply_adds:
        yield "multiply-adds", f"{cost.multiply_adds:,}"
    if cost.activation_bytes:
        yield "activations", f"{cost.activation_bytes:,} bytes"
    if span := node.places.layer:
        yield "written at", f"{Path(span.source.name).name}:{span.line}"


def _blob(blob: Blob) -> str:
    return f"{blob.name}  {blob.shape}"


def _fields(layer: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The decoded fields (`Any`: each layer type has its own); of a part (a filler, a window) what is unusual."""
    for field in fields(layer):
        value = getattr(layer, field.name)
        name = prefix + field.name
        if is_dataclass(value) and not isinstance(value, Shape):
            yield from _fields(value, f"{name}.")
        elif value not in (None, (), "") and not (prefix and value == field.default):
            yield name, _value(value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _json(value: object) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
