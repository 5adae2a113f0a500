"""Where did the memory run out, and which batch would fit?"""

from __future__ import annotations

import linecache
import re
from traceback import walk_tb

import torch

from netdef.diagnostics import RunError, error
from netdef.ir import Graph
from netdef.ir.memory import training_bytes
from netdef.solver.nets import batch_size

_GENERATED = "<eval_with_key>"
"""How torch.fx names the code that it makes of a graph."""

_SHARE = 0.9
"""What a net may take of a device's memory; the rest is for the library's kernels and for gaps between blocks."""


def out_of_memory(graph: Graph, device: torch.device, fault: BaseException) -> RunError:
    """The error ND0806, with the layer that was computed where that is known, and a batch that should fit."""
    layer = _layer(graph, fault)
    where = f' in layer "{layer}"' if layer else ", on the way back or in the update"
    rows = batch_size(graph)
    return RunError([error("ND0806", f"out of memory on {device}{where}", help=_help(graph, rows, _capacity(device)))])


def fitting_rows(graph: Graph, rows: int, capacity: int | None) -> int:
    """A batch that should fit: halved until the prediction does, at least once, for the batch at hand did not.

    What a step takes is a constant part (parameters, gradients, history) and one that grows with the batch.
    """
    whole = training_bytes(graph)
    fixed = 4 * sum(p.spec.shape.count() or 0 for p in graph.params.values()) * 3
    fewer = max(rows // 2, 1)
    while capacity and whole and fewer > 1 and fixed + (whole - fixed) * fewer / rows > _SHARE * capacity:
        fewer = max(fewer // 2, 1)
    return fewer


def _help(graph: Graph, rows: int, capacity: int | None) -> str:
    if rows < 2:
        return "a batch of 1 does not fit: take smaller images or a smaller net, or `activation_checkpoint: true`"
    fewer = fitting_rows(graph, rows, capacity)
    factor = -(-rows // fewer)
    return (
        f"`batch_size: {fewer}` in place of {rows} should fit; `iter_size` times {factor} then keeps the sum of the "
        "gradients. `netdef summary` predicts the need"
    )


def _capacity(device: torch.device) -> int | None:
    """The memory of a GPU in bytes; None for the processor, which other programs share."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def _layer(graph: Graph, fault: BaseException) -> str | None:
    """The layer whose line of the generated code was under way: it assigns to a name made of the layer's."""
    for frame, number in walk_tb(fault.__traceback__):
        if frame.f_code.co_filename.startswith(_GENERATED):
            line = linecache.getline(frame.f_code.co_filename, number, frame.f_globals)
            name = line.partition("=")[0].strip()
            return next((node.name for node in graph.nodes if _is_from(name, node.name)), None)
    return None


def _is_from(name: str, layer: str) -> bool:
    stem = re.sub(r"[^0-9A-Za-z]", "_", layer)
    return re.fullmatch(rf"_?{re.escape(stem)}(_\d+)?", name) is not None
