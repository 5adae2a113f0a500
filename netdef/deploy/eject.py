"""From a graph and weight files to a PyTorch file that stands alone, with its weights beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import fx

from netdef.deploy.folding import folded_and_proven
from netdef.diagnostics import Diagnostic, RunError, error, warning
from netdef.files import PathLike, write_atomic
from netdef.graph import demand_layers
from netdef.graph.deploy import demand_work, deploy, removed
from netdef.ir import Graph, Node
from netdef.targets.source import write_source
from netdef.targets.torch import build_module, layer_blobs, load_arrays, net_layers, shared_blobs
from netdef.targets.torch.names import module_names
from netdef.weights import LayerWeights, match, read_weights, write_safetensors


@dataclass(frozen=True, slots=True)
class Ejected:
    """What was written.

    Attributes:
        source: the Python file.
        weights: the file with its weights; None where none were given.
        removed: the layers that the deploy form has no use for.
        warnings: what is dubious about the weights.
    """

    source: Path
    weights: Path | None
    removed: tuple[str, ...]
    warnings: tuple[Diagnostic, ...]


def eject(
    net: Graph, path: PathLike, weights: Sequence[PathLike] = (), *, fold: bool = False, strict: bool = False
) -> Ejected:
    """Write the source to `path`, and the weights, named as in its ``state_dict``, to the same with .safetensors.

    A net of phase TEST is brought into its deploy form, and with `fold` its BatchNorm, Scale and Bias layers go into
    those around them (which takes weights); one of phase TRAIN stays as it is, with its losses.
    With `strict` the net that is written and the files must have the same layers.

    Raises:
        NetdefError: no layer is there (ND0906), one cannot stand alone (ND0902, ND0930), weights do not fit (ND06xx).
        RunError: a file cannot be written (ND0601, ND0914), or the folded net parts from the net (ND0931).
    """
    graph = deployed = demand_layers(net) if net.phase == "TRAIN" else demand_work(deploy(net))
    target = Path(path)
    left_out = tuple(node.id for node in removed(net, deployed))
    if not weights:
        _write(target, write_source(graph))
        return Ejected(target, None, left_out, ())
    module, warnings = _loaded(graph, weights, strict)
    if fold:
        folded = folded_and_proven(graph, module)
        graph, module = folded.graph, folded.module
    beside = target.with_suffix(".safetensors")
    text = write_source(graph, weights=beside.name)
    write_safetensors(beside, _layers(graph, module), net_name=graph.name)
    _write(target, text)
    return Ejected(target, beside, left_out, warnings)


def _write(target: Path, text: str) -> None:
    try:
        write_atomic(target, text)
    except OSError as fault:
        raise RunError([error("ND0914", f"{target} cannot be written: {fault.strerror or fault}")]) from fault


def _loaded(graph: Graph, weights: Sequence[PathLike], strict: bool) -> tuple[fx.GraphModule, tuple[Diagnostic, ...]]:
    module = build_module(graph, outputs=[*graph.blobs])
    files = [read_weights(file) for file in weights]
    report = match(net_layers(graph), files, strict=strict, shared=shared_blobs(graph))
    load_arrays(module, graph, report.arrays)
    return module, (*report.warnings, *_missing(report.left))


def _layers(graph: Graph, module: fx.GraphModule) -> Iterator[LayerWeights]:
    names = module_names(graph)
    for node, held in zip(graph.nodes, layer_blobs(module, graph), strict=True):
        if held.blobs:
            yield LayerWeights(names[node.id], held.type, held.blobs, keys=_keys(node))


def _keys(node: Node) -> tuple[str, ...]:
    return tuple(spec.name for spec in node.specs)


def _missing(left: Sequence[str]) -> Iterator[Diagnostic]:
    if left:
        names = ", ".join(f'"{name}"' for name in left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        yield warning("ND0912", f"no weights for {names}: written with the fillers' random values")
