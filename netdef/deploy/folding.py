"""How do a net and its weights become smaller files that are proven to compute the same?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import fx

from netdef.deploy.inputs import trial
from netdef.deploy.report import BlobError
from netdef.deploy.saving import saving
from netdef.deploy.twin import arrays_of, in_torch, loaded, run_torch, torch_twin
from netdef.deploy.verify import Step, allowed, compare, silent, with_rounding
from netdef.diagnostics import Diagnostic, RunError, error
from netdef.files import PathLike, write_atomic
from netdef.graph.deploy import demand_work, deploy
from netdef.graph.fold import fold
from netdef.graph.prototxt import prototxt
from netdef.graph.write import Messages
from netdef.ir import Graph
from netdef.targets.torch import layer_blobs
from netdef.weights import LayerWeights, write_weights


@dataclass(frozen=True, slots=True)
class FoldReport:
    """What came of folding.

    Attributes:
        layers: how many layers there were in the deploy form, and how many are left.
        removed: the layers that are gone.
        worst: the blob with the largest difference to the net before.
        warnings: about the weights.
    """

    layers: tuple[int, int]
    removed: tuple[str, ...]
    worst: BlobError
    warnings: tuple[Diagnostic, ...]


def fold_files(
    net: Graph,
    messages: Messages,
    weights: Sequence[PathLike],
    *,
    prototxt_path: PathLike,
    weights_path: PathLike,
    strict: bool = False,
    seed: int = 0,
    step: Step = silent,
) -> FoldReport:
    """Write a net's deploy form and its weights with BatchNorm, Scale and Bias folded.

    With `strict` the deployed net and the files must have the same layers.

    Raises:
        NetdefError: the net or its weights are wrong (ND03xx, ND06xx, ND0902).
        RunError: the folded net parts from the net (ND0931), or a file cannot be written (ND0601, ND0914).
    """
    graph = demand_work(deploy(net))
    step("reading weights")
    module, warnings = torch_twin(graph, weights, seed, strict=strict)
    step("folding and comparing")
    found = folded_and_proven(graph, module, seed)
    step("saving")
    write_weights(weights_path, _layers(found.module, found.graph), net_name=graph.name)
    with saving(prototxt_path):
        write_atomic(prototxt_path, prototxt(found.graph, messages))
    return FoldReport((len(graph.nodes), len(found.graph.nodes)), found.removed, found.worst, warnings)


@dataclass(frozen=True, slots=True)
class FoldedModule:
    """A folded graph, the module that gives all of its blobs, what is gone, and the blob that is furthest off."""

    graph: Graph
    module: fx.GraphModule
    removed: tuple[str, ...]
    worst: BlobError


def folded_and_proven(graph: Graph, module: fx.GraphModule, seed: int = 0) -> FoldedModule:
    """Fold a graph with the parameters of its module, which must give every blob, and compare both on random input.

    Raises:
        RunError: they part (ND0931).
    """
    folded = fold(graph, arrays_of(module, graph), evaluate=in_torch)
    twin = loaded(folded.graph, folded.arrays)
    feed = trial(graph, {blob.id: blob.shape for blob in graph.inputs}, 1, seed)
    before, after = run_torch(module, feed), run_torch(twin, feed)
    errors = with_rounding(module, [feed], tuple(compare(folded.graph, before, after)))
    far = [blob for blob in errors if not blob.max_rel <= allowed(blob)]
    if far:
        message = f'the folded net parts from the net at blob "{far[0].name}": relative error {far[0].max_rel:.3g}'
        raise RunError([error("ND0931", message, help="nothing was written")])
    return FoldedModule(folded.graph, twin, folded.removed, max(errors, key=lambda blob: blob.max_rel))


def _layers(twin: fx.GraphModule, graph: Graph) -> Iterator[LayerWeights]:
    for held in layer_blobs(twin, graph):
        yield LayerWeights(held.name, held.type, held.blobs)
