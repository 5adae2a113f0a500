"""From a deployable graph and its torch module to an ONNX file that is proven equal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import fx

from netdef.deploy import runtime
from netdef.deploy.around import NOTHING_AROUND, Around, dress
from netdef.deploy.origin import origin_props
from netdef.deploy.report import NO_PROOF, ExportReport, Proof
from netdef.deploy.twin import in_torch
from netdef.deploy.verify import Step, prove, silent
from netdef.diagnostics import Diagnostic, NetdefError, RunError, error, warning
from netdef.files import PathLike
from netdef.graph import demand_layers
from netdef.graph.deploy import deploy, removed
from netdef.graph.fold import Folded
from netdef.graph.fold import fold as fold_graph
from netdef.ir import Graph
from netdef.targets.onnx import emit, netdef_version, save, sizes
from netdef.targets.onnx.opset import choices, definitions, require
from netdef.targets.torch import build_module, load_arrays, net_layers, shared_blobs, tensors
from netdef.weights import match, read_weights

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
        step: is told what is going on.

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
    arrays = {id: tensor.detach().numpy() for id, tensor in tensors(module, graph).items()}
    _require_finite(arrays)
    step("writing the graph")
    folded = fold_graph(graph, arrays, evaluate=in_torch, fixed_size=not any_size) if fold else None
    written = folded or Folded(graph, arrays, ())

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
    props = {**_metadata(graph, weights, proof), **(dressed.props if dressed else {})}
    onnx.helper.set_model_props(model, dict(sorted(props.items())))
    inputs, outputs = interface(model.graph.input), interface(model.graph.output)
    step("saving")
    files = _save(model, Path(path))
    return ExportReport(
        path=os.fspath(path),
        opset=opset,
        inputs=inputs,
        outputs=outputs,
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


def torch_twin(
    graph: Graph, weights: Sequence[PathLike], seed: int, *, strict: bool = False
) -> tuple[fx.GraphModule, tuple[Diagnostic, ...]]:
    """The graph's torch module that gives every blob, in float32 on the CPU, and what is dubious about its weights.

    Raises:
        NetdefError: no layer is there (ND0906), or the weights do not fit (ND06xx).
    """
    module = build_module(demand_layers(graph), outputs=[*graph.blobs], rng=np.random.default_rng(seed))
    files = [read_weights(file) for file in weights]
    report = match(net_layers(graph), files, strict=strict, shared=shared_blobs(graph))
    _settle(module, graph)
    load_arrays(module, graph, report.arrays)
    return module, (*report.warnings, *_random(graph, weights, report.left))


def _settle(module: fx.GraphModule, graph: Graph) -> None:
    """Let BatchNorm begin with variance 1, for layers that get no weights.

    Caffe's fresh statistics say variance 0, so that each such layer multiplies by 1 / sqrt(eps), some 300: a deep net
    overflows, and nothing could be proven of it.
    """
    held = tensors(module, graph)
    for id, param in graph.params.items():
        if param.spec.statistic and param.spec.name in ("variance", "factor"):
            held[id].fill_(1.0)


def _random(graph: Graph, weights: Sequence[PathLike], left: Sequence[str]) -> list[Diagnostic]:
    """A warning where parameters keep their fillers' values."""
    if weights and left:
        names = ", ".join(f'"{name}"' for name in left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        return [warning("ND0912", f"no weights for {names}: exported with random values")]
    if not weights and graph.params:
        return [warning("ND0912", "no --weights: the model is exported with random values")]
    return []


def _require_finite(arrays: Mapping[str, Array]) -> None:
    found = [
        error("ND0913", f'parameter "{id}" has {int((~np.isfinite(array)).sum())} values that are NaN or infinite')
        for id, array in arrays.items()
        if not np.isfinite(array).all()
    ]
    if found:
        raise NetdefError(found)


def _save(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    try:
        return save(model, path)
    except OSError as fault:
        raise RunError([error("ND0914", f"{path} cannot be written: {fault.strerror or fault}")]) from fault


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
    return dict(sorted(props.items()))


def interface(infos: Sequence[onnx.ValueInfoProto]) -> dict[str, tuple[int | str, ...]]:
    """Names and sizes of a model's inputs or outputs."""
    return {
        info.name: tuple(dim.dim_param or dim.dim_value or "?" for dim in info.type.tensor_type.shape.dim)
        for info in infos
    }
