"""Does an ONNX model compute what torch computes? Every blob that both name, on random input."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from netdef.deploy import runtime
from netdef.deploy.evaluator import WORK_LIMIT
from netdef.deploy.inputs import trial
from netdef.deploy.report import BlobError, Proof
from netdef.deploy.twin import arrays_of, loaded, run_torch
from netdef.diagnostics import RunError, error
from netdef.graph.batch import batch_of
from netdef.ir import Graph, Shape
from netdef.targets.onnx import grown, growth_of, image_inputs, sizes, value_names
from netdef.targets.onnx.batch import SMALL_GROWTHS
from netdef.targets.onnx.saving import tensor_bytes

Array = npt.NDArray[Any]
Step = Callable[[str], None]

TOLERANCE = 1e-4
"""The largest relative error let through: float32 sums in another order stay some ten times below it."""

EVALUATOR = "onnx's evaluator"
_DOUBT = "ONNX Runtime and torch agree; if that is enough, leave the evaluator out with `--no-reference`"

_ROUNDINGS = 10.0
"""How many times torch's own rounding a blob may be off."""

BATCH_SIZES = (1, 3)
"""Batch sizes tried where the batch is free: the one people deploy with, and one that no rule can confuse with it."""

STATIC_CHECK_LIMIT = 2**31 - 2**20
"""Bytes above which checker and shape inference, which copy the model through protobuf, are not asked."""


def silent(what: str) -> None:
    """Tell nobody what is going on."""


def prove(
    graph: Graph,
    module: torch.nn.Module,
    model: onnx.ModelProto,
    *,
    batch: int | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    any_size: bool = False,
    seed: int = 0,
    reference: bool | None = None,
    step: Step = silent,
) -> Proof:
    """Run the model and the torch module on the same random input and compare every blob that both name.

    First the checker and strict shape inference must accept the model. Then ONNX Runtime runs it twice at each batch
    size: with every inner blob as an output, and as it is (what the optimiser fuses is in the second alone). At last
    onnx's reference evaluator runs it at the first batch size.

    Args:
        graph: the net in its deploy form.
        module: the same in torch; it must give all blobs of the graph, in float32 on the CPU.
        model: the same in ONNX.
        batch: the model's fixed batch size, if it has one.
        batch_sizes: what to try where it has none.
        any_size: whether the size of the images is free; a second one is tried then.
        seed: of the random input.
        reference: whether to ask onnx's evaluator too; None asks where that takes some seconds at most.
        step: called with a few words on each stage of the work.

    Raises:
        RunError: the model is malformed (ND0907), does not run (ND0909), or parts from torch (ND0908); or torch cannot
            run the net (ND0915).
    """
    step("checking")
    check(model)
    shapes = sizes(graph, batch)
    tried = tuple(batch_sizes) if batch is None else (batch,)
    feeds = [trial(graph, shapes, size, seed + size) for size in tried]
    step("running torch")
    expected = [run_torch(module, feed) for feed in feeds]
    runs = [*zip(feeds, expected, strict=True)]
    if any_size:
        runs.append(_larger(graph, module, tried[0], seed))
    compared = _Compared(graph, module, model, step)
    errors = compared.errors("ONNX Runtime", _sessions, runs)
    require_close(errors)
    second, left_out = _second_opinion(compared, runs[:1], reference)
    planes = _planes(graph, runs) if any_size else ()
    return Proof(errors, tried, "ONNX Runtime", image_sizes=planes, second=second, second_left_out=left_out)


Runs = Sequence[tuple[Mapping[str, Array], Mapping[str, Array]]]
"""What to feed, and what torch makes of it."""

Start = Callable[[onnx.ModelProto, Sequence[str]], Iterator[runtime.Run]]
"""Makes a model ready to run, in one way after the other; given are the inner values to expose."""


@dataclass(frozen=True, slots=True)
class _Compared:
    """What `prove` compares, and whom it tells of its progress."""

    graph: Graph
    module: torch.nn.Module
    model: onnx.ModelProto
    step: Step

    def errors(self, title: str, start: Start, runs: Runs) -> tuple[BlobError, ...]:
        """How far each blob is from torch's when a back end runs the model, the worst of all runs."""
        made = {name for node in self.model.graph.node for name in node.output}
        names = value_names(self.graph)
        shared = [id for id in self.graph.blobs if names[id] in made]
        worst: dict[str, BlobError] = {}
        for run in start(self.model, [names[id] for id in shared]):
            for feed, blobs in runs:
                shapes = ", ".join(f"{id} {Shape(array.shape)}" for id, array in feed.items())
                self.step(f"running {title} with {shapes}")
                tops = run({names[id]: array for id, array in feed.items()})
                found = {id: tops[names[id]] for id in shared if names[id] in tops}
                for new in compare(self.graph, blobs, found):
                    worst[new.name] = worse(worst.get(new.name), new)
            del run  # before the next one is made
        errors = tuple(worst[id] for id in shared if id in worst)
        if not _far(errors):
            return errors
        self.step("measuring what rounding alone does")
        return with_rounding(self.module, [feed for feed, _ in runs], errors)


def _sessions(model: onnx.ModelProto, names: Sequence[str]) -> Iterator[runtime.Run]:
    """One after the other, since each holds the weights: the model with inner values as outputs, and as it is."""
    with runtime.exposing(model, names):
        run = runtime.session(model)
    yield run
    del run
    yield runtime.session(model)


def _evaluators(model: onnx.ModelProto, names: Sequence[str]) -> Iterator[runtime.Run]:
    with runtime.exposing(model, names):
        run = runtime.reference(model)
    yield run


def _second_opinion(compared: _Compared, runs: Runs, asked: bool | None) -> tuple[tuple[BlobError, ...], str]:
    """The errors of onnx's evaluator, or why there are none; what it cannot run counts only where it was asked for."""
    left_out = "" if asked else _why_not(compared, runs[0][0], asked)
    if left_out:
        return (), left_out
    try:
        errors = compared.errors(EVALUATOR, _evaluators, runs)
    except RunError as refusal:
        if asked:
            raise
        return (), refusal.diagnostics[0].message
    require_close(errors, found=EVALUATOR, help=_DOUBT)
    return errors, ""


def _why_not(compared: _Compared, feed: Mapping[str, Array], asked: bool | None) -> str:
    """What speaks against asking the evaluator without being told to; nothing, mostly."""
    if asked is False:
        return "it was not asked"
    batch = batch_of(compared.graph)
    rows = next((feed[id].shape[axis] for id, axis in batch.axes.items()), 1)
    work = (compared.graph.cost.multiply_adds or 0) / (batch.size or 1) * rows
    if work > WORK_LIMIT:
        return f"{work / 1e9:,.0f}e9 multiply-adds would take it long (--reference asks it)"
    return "the model is too large for it" if tensor_bytes(compared.model) > STATIC_CHECK_LIMIT else ""


def _larger(graph: Graph, module: torch.nn.Module, batch: int, seed: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """A feed with larger images, and what a module made for that size gives for it."""
    large = grown(graph, growth_of(graph, SMALL_GROWTHS))
    feed = trial(large, sizes(large, batch), batch, seed)
    return feed, run_torch(loaded(large, arrays_of(module, graph)), feed)


def _planes(graph: Graph, runs: Sequence[tuple[Mapping[str, Array], object]]) -> tuple[tuple[int, int], ...]:
    id = image_inputs(graph)[0].id
    return tuple(dict.fromkeys((feed[id].shape[2], feed[id].shape[3]) for feed, _ in runs))


def check(model: onnx.ModelProto) -> None:
    """Let onnx's checker and strict shape inference judge the model; RunError ND0907 if they refuse it."""
    if tensor_bytes(model) > STATIC_CHECK_LIMIT:
        return
    try:
        onnx.checker.check_model(model, full_check=False)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as fault:
        message = f"onnx refuses the model: {' '.join(str(fault).split())[:400]}"
        raise RunError([error("ND0907", message)]) from fault


def compare(graph: Graph, expected: Mapping[str, Array], found: Mapping[str, Array]) -> Iterator[BlobError]:
    """The error of each blob that both sides have."""
    for id in found.keys() & expected.keys():
        yield blob_error(id, graph.producers[id].id, expected[id], found[id])


def blob_error(name: str, layer: str, expected: Array, found: Array) -> BlobError:
    """``max |a - b|``, and the same over ``max |a|`` (over 1 where all of a is 0).

    NaN and infinity are equal to themselves; on one side only they make an infinite error, as another shape does.
    """
    if expected.shape != found.shape:
        return BlobError(name, layer, found.shape, np.inf, np.inf)
    a, b = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(a)
    if not (np.array_equal(finite, np.isfinite(b)) and np.array_equal(a[~finite], b[~finite], equal_nan=True)):
        return BlobError(name, layer, found.shape, np.inf, np.inf)
    a, b = a[finite], b[finite]
    largest = float(np.max(np.abs(a - b), initial=0.0))
    scale = float(np.max(np.abs(a), initial=0.0)) or 1.0
    return BlobError(name, layer, found.shape, largest, largest / scale)


def with_rounding(
    module: torch.nn.Module, feeds: Sequence[Mapping[str, Array]], errors: Sequence[BlobError]
) -> tuple[BlobError, ...]:
    """The errors, each with the distance of torch's float32 from its float64 on the same inputs."""
    exact = copy.deepcopy(module).double()
    found = dict.fromkeys((blob.name for blob in errors), 0.0)
    for feed in feeds:
        single = run_torch(module, feed)
        double = run_torch(exact, {id: array.astype(np.float64) for id, array in feed.items()})
        for id in found:
            found[id] = max(found[id], blob_error(id, "", double[id], single[id]).max_rel)
    return tuple(replace(blob, rounding=found[blob.name]) for blob in errors)


def allowed(blob: BlobError) -> float:
    """The largest relative error let through: TOLERANCE, or ten times what rounding alone does to the blob in torch.

    A deep net with random weights can multiply one rounding a thousandfold; two right results then part by as much.
    """
    return max(TOLERANCE, _ROUNDINGS * blob.rounding) if isfinite(blob.rounding) else TOLERANCE


def require_close(
    errors: Sequence[BlobError],
    *,
    expected: str = "torch",
    found: str = "ONNX Runtime",
    help: str = "`netdef explain ND0908` tells what may be the reason",
) -> None:
    """Raise RunError ND0908 at the first blob, in the order of the graph, that is further off than allowed."""
    far = _far(errors)
    if not far:
        return
    first = far[0]
    message = (
        f'{found} and {expected} part at blob "{first.name}" of layer "{first.layer}": relative error '
        f"{first.max_rel:.3g}, allowed {allowed(first):.3g} ({len(far)} of {len(errors)} blobs are off)"
    )
    raise RunError([error("ND0908", message, help=help)])


def _far(errors: Sequence[BlobError]) -> list[BlobError]:
    return [blob for blob in errors if not blob.max_rel <= allowed(blob)]


def worse(old: BlobError | None, new: BlobError) -> BlobError:
    """The one that is further off."""
    return new if old is None or new.max_rel >= old.max_rel else old
