"""From a Graph to a torch module: the recording as an fx.Graph, and parameters filled by Caffe's fillers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn

from netdef.ir import Graph, Node, Param
from netdef.ir.fill import fill
from netdef.layers.python import Python
from netdef.layers.record import Call
from netdef.targets.fuse import fuse
from netdef.targets.record import Recording, record, with_values
from netdef.targets.torch.faults import untouched
from netdef.targets.torch.names import module_names

_KEPT = frozenset({"placeholder", "output", "call_module"})
"""FX operations that stay though nothing reads them: a module may keep statistics or a recurrent state."""


def build_module(
    graph: Graph,
    *,
    outputs: Sequence[str] | None = None,
    with_loss: bool = False,
    rng: np.random.Generator | None = None,
    device: torch.device | str = "cpu",
    live: bool = False,
) -> fx.GraphModule:
    """Build the module that computes a graph.

    Args:
        graph: a compiled net; the sizes of its parameters must be known.
        outputs: ids of the blobs to return; the graph's outputs if None.
        with_loss: return ``(outputs, loss)``, the loss being Σ loss_weight * sum(top); else the outputs alone.
        rng: where the fillers draw from; a fresh one if None.
        device: where the parameters live.
        live: layers are run one by one, between blobs that scripts may change: Python layers may change sizes.

    Returns:
        A module that takes one keyword argument for each input (`module.meta["inputs"]` maps blob ids to argument
        names) and returns a dict from blob id to tensor. TRAIN graphs come in `train()` mode, others in `eval()`.
        Its state_dict has plain names (``conv1.weight``); BatchNorm's statistics are buffers.

    Raises:
        NetdefError: a layer has no rule for torch.
    """
    recording = record(graph)
    names = module_names(graph)
    root = nn.Module()
    for name, child in _children(graph, recording, names, live):
        root.add_module(name, child)
    _fill(graph, root, names, rng or np.random.default_rng(), torch.device(device))
    wanted = [blob.id for blob in graph.outputs] if outputs is None else list(outputs)
    lowered = _fx_graph(fuse(recording, wanted), names, wanted, with_loss)
    module = fx.GraphModule(root, lowered, class_name="Net")
    untouched(module)
    module.meta["inputs"] = {blob.id: value.name for blob, value in recording.inputs}
    module.meta["modules"] = names
    module.meta["outputs"] = wanted
    return module.train(graph.phase == "TRAIN").to(device)


def tensors(module: nn.Module, graph: Graph) -> dict[str, Tensor]:
    """The parameters and statistics of a built module by Param id, in the order of Caffe's learnable parameters."""
    names = _modules(module)
    found: dict[str, Tensor] = {}
    for node in graph.nodes:
        for param in node.params:
            if param.id not in found:
                found[param.id] = _held(module.get_submodule(names[node.id]), _attribute(node, param))
    return found


def share(owner: nn.Module, owner_graph: Graph, module: nn.Module, graph: Graph) -> None:
    """Let a test net use the train net's parameters, by layer name (Caffe's ShareTrainedLayersWith)."""
    lend(tensors(owner, owner_graph), owner_graph, module, graph)


def lend(theirs: Mapping[str, Tensor], owner_graph: Graph, module: nn.Module, graph: Graph) -> None:
    """Let a module use tensors that belong to the parameters of another net, by layer name."""
    for node in graph.nodes:
        if node.id not in owner_graph.layers:
            continue
        child = module.get_submodule(_modules(module)[node.id]) if node.params else module
        for spec_owner, param in zip(owner_graph.layers[node.id].params, node.params, strict=False):
            _assign(child, _attribute(node, param), theirs[spec_owner.id], param)


def _modules(module: nn.Module) -> dict[str, str]:
    return cast(dict[str, str], module.meta["modules"])  # type: ignore[index]


def _attribute(node: Node, param: Param) -> str:
    """The name of a parameter in the module of a node; a shared one keeps the sharer's own name for it."""
    return node.specs[[p.id for p in node.params].index(param.id)].name


def _children(graph: Graph, recording: Recording, names: dict[str, str], live: bool) -> Iterator[tuple[str, nn.Module]]:
    """A submodule for each node that has parameters or records a module."""
    constructed = {call.owner: call for call in recording.calls if call.kind == "module"}
    for node in graph.nodes:
        if isinstance(node.layer, Python):
            yield names[node.id], _watched(constructed[node.id], node, node.layer, live)
        elif node.id in constructed:
            yield names[node.id], _construct(constructed[node.id])
        elif node.params:
            yield names[node.id], nn.Module()


def _watched(call: Call, node: Node, layer: Python, live: bool) -> nn.Module:
    """A user's module, whose faults are told with the layer's place."""
    assert layer.host is not None, "without consent nothing is recorded"
    known = all(blob.shape.known for blob in node.tops)
    tops = tuple(blob.shape.known_sizes() for blob in node.tops) if known else ()
    bottoms = tuple(tuple(size or 1 for size in blob.shape.sizes) for blob in node.bottoms)
    make = partial(_construct, call)
    return cast(nn.Module, layer.host.made(layer, bottoms, make, span=node.places.layer, tops=tops, live=live))


def _construct(call: Call, **more: Any) -> nn.Module:
    """A module as recorded; torch's own start on the meta device: the fillers make their values."""
    kind = cast(Callable[..., nn.Module], resolve(call.target))
    kwargs = dict(call.kwargs)
    if not call.target.startswith("torch."):
        return kind(*call.args, **kwargs, **more)
    with torch.device("meta"):
        return kind(*call.args, **kwargs)


def _fill(graph: Graph, root: nn.Module, names: dict[str, str], rng: np.random.Generator, device: torch.device) -> None:
    """Give every node's submodule its parameters, a shared one to all that share it."""
    made: dict[str, Tensor] = {}
    for node in graph.nodes:
        for param in node.params:
            child, name = root.get_submodule(names[node.id]), _attribute(node, param)
            if param.id not in made:
                made[param.id] = _parameter(param, _values(param, child, name, rng, device))
            _assign(child, name, made[param.id], param)


def _values(param: Param, child: nn.Module, name: str, rng: np.random.Generator, device: torch.device) -> Tensor:
    """The first values; none on the meta device, whose tensors are shapes alone."""
    sizes = param.spec.shape.known_sizes()
    if device.type == "meta":
        return torch.empty(sizes, device=device)
    if param.spec.preset:
        return _held(child, name).detach().to(device)
    return torch.from_numpy(fill(param.spec.filler, sizes, rng)).to(device)


def _parameter(param: Param, values: Tensor) -> Tensor:
    return values if param.spec.statistic else nn.Parameter(values, requires_grad=param.lr_mult != 0)


def _assign(module: nn.Module, name: str, tensor: Tensor, param: Param) -> None:
    owner, _, leaf = name.rpartition(".")
    if param.spec.statistic:
        module.get_submodule(owner).register_buffer(leaf, tensor)
    else:
        module.get_submodule(owner).register_parameter(leaf, cast(nn.Parameter, tensor))


def _held(module: nn.Module, name: str) -> Tensor:
    """A parameter or buffer; a user's module may hold it in a submodule of its own."""
    owner, _, leaf = name.rpartition(".")
    return cast(Tensor, getattr(module.get_submodule(owner), leaf))


def _fx_graph(recording: Recording, names: dict[str, str], wanted: list[str], with_loss: bool) -> fx.Graph:
    graph = fx.Graph()
    made: dict[str, fx.Node] = {}
    for _, value in recording.inputs:
        made[value.name] = graph.placeholder(value.name, default_value=None)
    for call in recording.calls:
        made[call.result.name] = _emit(graph, call, names, made)
        made[call.result.name].meta["layer"] = call.owner
    outputs = {blob: made[recording.values[blob].name] for blob in wanted}
    loss = made[recording.loss.name] if recording.loss else None
    graph.output((outputs, loss) if with_loss else outputs)
    graph.eliminate_dead_code(lambda node: node.op in _KEPT)
    graph.lint()
    return graph


def _emit(graph: fx.Graph, call: Call, names: dict[str, str], made: dict[str, fx.Node]) -> fx.Node:
    if call.kind == "param":
        return graph.get_attr(f"{names[call.owner]}.{call.target}")
    if call.kind == "module":
        return graph.call_module(names[call.owner], with_values(call.inputs, made))
    return graph.call_function(function_of(call), with_values(call.args, made), with_values(dict(call.kwargs), made))


def function_of(call: Call) -> Callable[..., Any]:
    """What a recorded call of a function calls."""
    return cast(Callable[..., Any], operator.getitem if call.kind == "item" else resolve(call.target))


def resolve(target: str) -> Any:
    """The function or class behind a dotted name; of a user's module that was loaded again, the new one."""
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)
