"""Where did the memory run out, and which batch would fit?"""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from traceback import walk_tb

import torch
from torch import fx

from netdef.diagnostics import RunError, error
from netdef.ir import Graph, Node
from netdef.ir.cost import float_bytes
from netdef.ir.memory import training_bytes
from netdef.solver.nets import batch_size

_GENERATED = "<eval_with_key>"
"""How torch.fx names the code that it makes of a graph."""

_SHARE = 0.9
"""What a net may take of a device's memory; the rest is for the library's kernels and for gaps between blocks."""


def out_of_memory(graph: Graph, module: fx.GraphModule, device: torch.device, fault: BaseException) -> RunError:
    """The error ND0806, with the layer that was computed where that is known, and a batch that should fit."""
    node = failing(graph, module, fault)
    where = f' in layer "{node.name}"' if node else ", on the way back, in the update or as data were read"
    rows = batch_size(graph)
    return RunError([error("ND0806", f"out of memory on {device}{where}", help=_help(graph, rows, _capacity(device)))])


def check_room(graph: Graph, device: torch.device, capacity: int | None = None) -> None:
    """Refuse a net whose largest layer cannot be held (ND0806): a system kills who asks for too much, without a word.

    On the processor alone: a GPU's library raises. `capacity` in bytes, the machine's own if None.
    """
    if device.type != "cpu":
        return
    room, least = capacity or _machine(), least_bytes(graph)
    if room is not None and least > room:
        message = f'the net "{graph.name}" takes at least {least:,} bytes of memory, and there are {room:,}'
        raise RunError([error("ND0806", message, help=_help(graph, batch_size(graph), room))])


def least_bytes(graph: Graph) -> int:
    """What no way of computing a net can do without: its parameters, and the blobs of its largest layer together."""
    params = sum(float_bytes(param.spec.shape.count()) or 0 for param in graph.params.values())
    return params + max((_node_bytes(node) for node in graph.nodes), default=0)


def _node_bytes(node: Node) -> int:
    """What a layer reads and writes; a layer that works in place writes over what it reads."""
    blobs = {blob.name: blob for blob in (*node.bottoms, *node.tops)}
    return sum(float_bytes(blob.shape.count()) or 0 for blob in blobs.values())


def _machine() -> int | None:
    """The memory that this process may fill, swap space included; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = {key: int(rest.split()[0]) * 1024 for key, _, rest in (line.partition(":") for line in lines)}
    return min(sizes["MemTotal"] + sizes["SwapTotal"], _container())


def _container() -> int:
    """The limit that a container has been given."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such file, or "max"
        return sys.maxsize


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
    """The memory of a GPU that this process may fill, in bytes; None for the processor, which other programs share."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device)


def failing(graph: Graph, module: fx.GraphModule, fault: BaseException) -> Node | None:
    """The layer whose line of the generated code was under way, which assigns to the name of a step of the module."""
    layers = {step.name: str(step.meta.get("layer", "")) for step in module.graph.nodes}
    for frame, number in walk_tb(fault.__traceback__):
        if frame.f_code.co_filename.startswith(_GENERATED):
            line = linecache.getline(frame.f_code.co_filename, number, frame.f_globals)
            name = line.partition("=")[0].strip()
            return graph.layers.get(layers.get(name, ""))
    return None
