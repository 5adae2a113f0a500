"""How do a net and its weights become an ONNX file that is proven equal?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from netdef.deploy import runtime
from netdef.deploy.around import NOTHING_AROUND, Around, dress
from netdef.deploy.origin import origin_props
from netdef.deploy.report import NO_PROOF, ExportReport, Proof
from netdef.deploy.saving import saving
from netdef.deploy.twin import arrays_of, in_torch, torch_twin
from netdef.deploy.verify import Step, prove, silent
from netdef.diagnostics import NetdefError, RunError, error
from netdef.files import PathLike
from netdef.graph.deploy import deploy, removed
from netdef.graph.fold import Folded
from netdef.graph.fold import fold as fold_graph
from netdef.ir import Graph
from netdef.targets.onnx import emit, netdef_version, save, sizes
from netdef.targets.onnx.opset import choices, definitions, require

Array = npt.NDArray[Any]


def export(
    net: Graph,
    path: PathLike,
    *,
    weights: Sequence[PathLike] = (),
    opset: int | None = None,
    strict: bool = False,
    batch: int | None = None,
    any_size: bool = False,
    fold: bool = True,
    verify: bool = True,
    reference: bool | None = None,
    around: Around = NOTHING_AROUND,
    seed: int = 0,
    step: Step = silent,
) -> ExportReport:
    """Write a net to an ONNX file, and prove that it computes what the same net computes in torch.

    The net is brought into its deploy form first (`netdef.graph.deploy`).

    Args:
        net: the graph, of phase TEST as a rule.
        path: the file to write. Nothing is left there unless the proof succeeds.
        weights: weight files, the later ones win; random values by the fillers without any.
        opset: version of ONNX's operator set; if None, the newest in which ONNX Runtime computes what torch does.
        strict: refuse weights unless the deployed net and the files have the same layers.
        batch: fixes the batch size; None leaves it free.
        any_size: leaves height and width of the images free.
        fold: whether BatchNorm, Scale and Bias go into the layers around them; the proof is against the net as it was.
        verify: whether to run the proof.
        reference: whether onnx's reference evaluator proves it too; None where that takes some seconds at most.
        around: what to put around the net: preparation of images, choice of the best classes, labels.
        seed: of the random input, and of the fillers.
        step: called with a few words on each stage of the work.

    Raises:
        NetdefError: the net, its weights or the options are wrong (ND0901-ND0906, ND0913, ND0919, ND0921, ND0922,
            ND06xx).
        RunError: the proof failed (ND0907-ND0909), or the file cannot be written (ND0914).
    """
    newest = runtime.newest_runnable()
    opsets = [*choices(newest)] if opset is None else [require(opset, newest)]
    graph = deploy(net)
    sizes(graph, batch, any_size=any_size)  # tells of unknown sizes before anything needs them
    step("reading weights")
    module, warnings = torch_twin(graph, weights, seed, strict=strict)
    arrays = arrays_of(module, graph)
    _require_finite(arrays)
    step("writing the graph")
    written = Folded(graph, arrays, ())
    if fold:
        written = fold_graph(graph, arrays, evaluate=in_torch, fixed_size=not any_size)

    def written_in(opset: int) -> onnx.ModelProto:
        return emit(written.graph, written.arrays, opset=opset, batch=batch, any_size=any_size)

    def proven(model: onnx.ModelProto) -> Proof:
        if not verify:
            return NO_PROOF
        return prove(graph, module, model, batch=batch, any_size=any_size, seed=seed, reference=reference, step=step)

    opset, model, proof = _first_right(opsets, written_in, proven)
    dressed = None
    if around:
        step("putting the rest around it")
        dressed = dress(graph, module, model, around, any_size=any_size, verify=verify, seed=seed)
    props = _metadata(graph, weights, proof) | dict(dressed.props if dressed else {})
    onnx.helper.set_model_props(model, dict(sorted(props.items())))
    step("saving")
    with saving(path):
        files = save(model, Path(path))
    return ExportReport(
        path=os.fspath(path),
        opset=opset,
        inputs=interface(model.graph.input),
        outputs=interface(model.graph.output),
        proof=proof,
        removed=tuple(node.id for node in removed(net, graph)),
        folded=written.removed,
        size_bytes=sum(file.stat().st_size for file in files),
        files=tuple(str(file) for file in files),
        warnings=warnings,
        pixel_error=dressed.levels if dressed else None,
    )


_OF_THE_MODEL = frozenset({"ND0907", "ND0908", "ND0909"})
"""What another operator set may do better."""


def _first_right(
    opsets: Sequence[int], written_in: Callable[[int], onnx.ModelProto], proven: Callable[[onnx.ModelProto], Proof]
) -> tuple[int, onnx.ModelProto, Proof]:
    """The first operator set in which the model proves right; the first one's refusal where none is."""
    refused: dict[frozenset[tuple[str, int]], RunError] = {}
    for opset in opsets:
        model = written_in(opset)
        if definitions(model) in refused:
            continue
        try:
            return opset, model, proven(model)
        except RunError as refusal:
            if refusal.diagnostics[0].code not in _OF_THE_MODEL:
                raise
            refused[definitions(model)] = refusal
    raise next(iter(refused.values()))


def _require_finite(arrays: Mapping[str, Array]) -> None:
    found = [
        error("ND0913", f'parameter "{id}" has {int((~np.isfinite(array)).sum())} values that are NaN or infinite')
        for id, array in arrays.items()
        if not np.isfinite(array).all()
    ]
    if found:
        raise NetdefError(found)


def _metadata(graph: Graph, weights: Sequence[PathLike], proof: Proof) -> dict[str, str]:
    """What a reader of the model may want to know of its making; no date, so that equal input gives equal bytes."""
    props = {
        "netdef.version": netdef_version(),
        "netdef.net": graph.name,
        "netdef.phase": graph.phase,
        "netdef.versions": f"torch {torch.__version__}, onnx {onnx.__version__}, onnxruntime {runtime.version()}",
    }
    props |= origin_props(graph.path, [*map(Path, weights)])
    if proof.largest:
        props["netdef.verified_batch_sizes"] = ",".join(map(str, proof.batch_sizes))
        if proof.image_sizes:
            props["netdef.verified_image_sizes"] = ",".join(f"{height}x{width}" for height, width in proof.image_sizes)
        props["netdef.largest_relative_error"] = f"{proof.largest.max_rel:.3e}"
    if proof.second_largest:
        props["netdef.largest_relative_error_of_onnx_evaluator"] = f"{proof.second_largest.max_rel:.3e}"
    return props


def interface(infos: Sequence[onnx.ValueInfoProto]) -> dict[str, tuple[int | str, ...]]:
    """Names and sizes of a model's inputs or outputs."""
    return {
        info.name: tuple(dim.dim_param or dim.dim_value or "?" for dim in info.type.tensor_type.shape.dim)
        for info in infos
    }
