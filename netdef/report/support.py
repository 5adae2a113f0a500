"""Which targets has each layer type? ``python -m netdef.report.support > docs/layers.md`` writes the table."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

from netdef.graph.deploy import LINKS, SINKS
from netdef.layers import Layer, registry
from netdef.targets.source.inline import Rooted, library

YES, NO = "yes", "no"

_HEAD = """\
# Layer types

What a net may hold, and where it goes. This page is generated: `python -m netdef.report.support > docs/layers.md`.

- **torch**: `netdef train`, `test` and `netdef.build` compute it. *input*: its tops come from outside.
- **ONNX**: `netdef export` writes it, from opset {oldest} on; no type needs a newer one. Losses become their
  predictions, metrics go, sources become inputs.
- **source**: `netdef eject` writes it to a file that imports torch alone.

{count} types: {torch} run in torch, {onnx} are written to ONNX, {source} can be ejected; the rest are sources and what
only a training net has.

| type | torch | ONNX | source | what it computes |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Support:
    """A layer type, what each target makes of it, and the first line of its docstring."""

    type: str
    torch: str
    onnx: str
    source: str
    about: str


def supported() -> tuple[Support, ...]:
    """Every registered type of Caffe's and netdef's own, by name."""
    return tuple(_support(name, cls) for name, cls in sorted(registry().items(), key=lambda item: item[0].lower()))


def page(oldest_opset: int) -> str:
    """The table, with what its words mean, in Markdown."""
    rows = supported()
    counts = {side: sum(getattr(row, side) == YES for row in rows) for side in ("torch", "onnx", "source")}
    lines = [f"| {row.type} | {row.torch} | {row.onnx} | {row.source} | {_cell(row.about)} |" for row in rows]
    return _HEAD.format(oldest=oldest_opset, count=len(rows), **counts) + "\n".join(lines) + "\n"


def _support(name: str, cls: type[Layer]) -> Support:
    about = (inspect.getdoc(cls) or "").split("\n")[0].split(" Source:")[0]
    if cls.is_source:
        return Support(name, "input", "input", "input", about)
    torch = _has(cls, "torch")
    return Support(name, torch, _in_onnx(name, cls), _in_source(cls) if torch == YES else NO, about)


def _in_onnx(name: str, cls: type[Layer]) -> str:
    if name in SINKS:
        return "left out"
    if cls.is_loss:
        return f"as {LINKS[name](SimpleNamespace(axis=1))[0]}" if name in LINKS else "as what it judges"
    return _has(cls, "onnx")


def _has(cls: type[Layer], rule: str) -> str:
    """Whether the class has the rule, and it does more than refuse."""
    if getattr(cls, rule) is getattr(Layer, rule):
        return NO
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(getattr(cls, rule)))).body
    assert isinstance(function, ast.FunctionDef)
    body = [step for step in function.body if not isinstance(step, ast.Expr)]
    return NO if isinstance(body[0], ast.Raise) else YES


def _in_source(cls: type[Layer]) -> str:
    """Whether what the torch rule records can be written out; some rules take another way without a file."""
    rooted = [name for name in _recorded(cls) if _is_rooted(name)]
    if not rooted:
        return YES
    return NO if len(rooted) == len([*_recorded(cls)]) else "without files"


def _recorded(cls: type[Layer]) -> Iterator[str]:
    """The names of netdef.nn in the torch rule: each ``g.netdef.name``."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls.torch)))):
        inner = node.value if isinstance(node, ast.Attribute) else None
        if isinstance(node, ast.Attribute) and isinstance(inner, ast.Attribute) and inner.attr == "netdef":
            yield node.attr


def _is_rooted(name: str) -> bool:
    try:
        library([name])
    except Rooted:
        return True
    return False


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    from netdef.targets.onnx import OLDEST_OPSET

    sys.stdout.write(page(OLDEST_OPSET))
