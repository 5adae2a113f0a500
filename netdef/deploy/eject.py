"""How do a net and its weights become a PyTorch file that stands alone?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import fx

from netdef.deploy.folding import folded_and_proven
from netdef.deploy.saving import saving
from netdef.deploy.twin import load_weights
from netdef.diagnostics import Diagnostic, warning
from netdef.diagnostics.words import some
from netdef.files import PathLike, write_atomic
from netdef.graph import demand_layers
from netdef.graph.deploy import demand_work, deploy, removed
from netdef.ir import Graph
from netdef.targets.source import write_source
from netdef.targets.torch import build_module, layer_blobs
from netdef.targets.torch.names import module_names
from netdef.weights import LayerWeights, write_safetensors


@dataclass(frozen=True, slots=True)
class Ejected:
    """What was written.

    Attributes:
        source: the Python file.
        weights: the file with its weights; None where none were given.
        removed: the layers that the deploy form has no use for.
        warnings: about the weights.
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
    with saving(target):
        write_atomic(target, text)


def _loaded(graph: Graph, weights: Sequence[PathLike], strict: bool) -> tuple[fx.GraphModule, tuple[Diagnostic, ...]]:
    module = build_module(graph, outputs=[*graph.blobs])
    report = load_weights(module, graph, weights, strict=strict)
    return module, (*report.warnings, *_missing(report.left))


def _layers(graph: Graph, module: fx.GraphModule) -> Iterator[LayerWeights]:
    names = module_names(graph)
    for node, held in zip(graph.nodes, layer_blobs(module, graph), strict=True):
        if held.blobs:
            keys = tuple(spec.name for spec in node.specs)
            yield LayerWeights(names[node.id], held.type, held.blobs, keys=keys)


def _missing(left: Sequence[str]) -> Iterator[Diagnostic]:
    if left:
        yield warning("ND0912", f"no weights for {some(left)}: written with the fillers' random values")
