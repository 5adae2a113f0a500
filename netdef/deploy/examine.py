"""Is an ONNX model sound in itself? Two ways to run it must agree, where there is no net to compare it with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from netdef.deploy import runtime
from netdef.deploy.report import BlobError, Proof
from netdef.deploy.verify import BATCH_SIZES, STATIC_CHECK_LIMIT, Step, blob_error, check, require_close, silent, worse
from netdef.diagnostics import NetdefError, RunError, error
from netdef.ir import Shape
from netdef.targets.onnx.saving import tensor_bytes

Array = npt.NDArray[Any]
_NUMBERS = frozenset("fiub")
"""Kinds of numpy types that can be compared."""


def examine(
    model: onnx.ModelProto,
    shapes: Mapping[str, Shape] | None = None,
    *,
    seed: int = 0,
    step: Step = silent,
) -> Proof:
    """Run any ONNX model on random input in ONNX Runtime and in onnx's reference evaluator, and compare every value.

    Where the evaluator lacks an operator of the model, ONNX Runtime without its optimiser stands in for it.

    Args:
        model: a model of whatever maker.
        shapes: sizes of inputs that the model leaves open; its first axis is taken for the batch.
        seed: of the random input.
        step: called with a few words on each stage of the work.

    Raises:
        NetdefError: the size of an input is not known (ND0918).
        RunError: malformed (ND0907), not runnable (ND0909), or the two part (ND0908).
    """
    step("checking")
    check(model)
    inputs = _inputs(model, shapes or {})
    free = any(sizes and sizes[0] is None for _, sizes in inputs.values())
    tried = BATCH_SIZES if free else (next((sizes[0] for _, sizes in inputs.values() if sizes), None) or 1,)
    names = _values(model)
    feeds = [_trial(inputs, size, seed + size) for size in tried]
    step("running it by its definition")
    oracle, expected = _opinion(model, names, feeds)
    with runtime.exposing(model, [*names], names):
        run = runtime.session(model)
    worst: dict[str, BlobError] = {}
    for size, feed, values in zip(tried, feeds, expected, strict=True):
        step(f"running at batch size {size}")
        for new in _compare(model, names, values, run(feed)):
            worst[new.name] = worse(worst.get(new.name), new)
    errors = tuple(worst[name] for name in names if name in worst)
    require_close(errors, expected=oracle)
    return Proof(errors, tuple(tried), "ONNX Runtime", oracle)


Values = Mapping[str, Array]


def _opinion(
    model: onnx.ModelProto, names: Mapping[str, onnx.ValueInfoProto], feeds: Sequence[Values]
) -> tuple[str, list[Values]]:
    """What to compare with, and what it makes of the feeds: the evaluator, or where that cannot the plain runtime."""
    with runtime.exposing(model, [*names], names):
        try:
            run = runtime.reference(model)
            return "onnx's reference evaluator", [run(feed) for feed in feeds]
        except RunError:
            plain = runtime.session(model, optimise=False)
    return "ONNX Runtime without its optimiser", [plain(feed) for feed in feeds]


Sizes = tuple[int | None, ...]
Inputs = Mapping[str, tuple[np.dtype[Any], Sizes]]


def _inputs(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> dict[str, tuple[np.dtype[Any], Sizes]]:
    """Type and sizes of each real input, the batch None where it is free; ND0918 for each that has more open."""
    constants = {tensor.name for tensor in model.graph.initializer}
    found, unknown = {}, []
    for info in model.graph.input:
        if info.name in constants:
            continue
        tensor = info.type.tensor_type
        given = shapes.get(info.name)
        dims = given.sizes if given else tuple(dim.dim_value or None for dim in tensor.shape.dim)
        if None in dims[1:] or not (given or tensor.HasField("shape")):
            unknown.append((info.name, dims))
        found[info.name] = (np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), dims)
    if unknown:
        raise NetdefError([_open(name, dims) for name, dims in unknown])
    return found


def _open(name: str, dims: Sizes) -> Any:
    shape = "x".join("?" if size is None else str(size) for size in dims) or "of unknown rank"
    form = "x".join("N" if size is None else str(size) for size in dims) or "NxCxHxW"
    message = f'the size of the model\'s input "{name}" is not known: {shape}'
    return error("ND0918", message, help=f"give it, a number for each letter: --shape {name}={form}")


def _trial(inputs: Inputs, batch: int, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        name: _random(rng, dtype, (dims[0] or batch, *dims[1:]) if dims else ())
        for name, (dtype, dims) in inputs.items()
    }


def _random(rng: np.random.Generator, dtype: np.dtype[Any], sizes: Sequence[int | None]) -> Array:
    """Normally distributed numbers; all values of a byte; 0 and 1 in other integers, which mostly are indices."""
    shape = tuple(size or 0 for size in sizes)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)


def _values(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Every value of known type that nodes write, in their order; of a model too large to ask the outputs."""
    infos = {info.name: info for info in model.graph.output}
    if tensor_bytes(model) <= STATIC_CHECK_LIMIT:
        inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
        infos.update((info.name, info) for info in inferred if info.type.tensor_type.elem_type)
    made = [name for node in model.graph.node for name in node.output]
    return {name: infos[name] for name in made if name in infos}


def _compare(
    model: onnx.ModelProto, names: Mapping[str, Any], expected: Mapping[str, Array], found: Mapping[str, Array]
) -> Iterator[BlobError]:
    makers = {name: node.name or node.op_type for node in model.graph.node for name in node.output}
    for name in names:
        a, b = np.asarray(expected[name]), np.asarray(found[name])
        if a.dtype.kind in _NUMBERS and b.dtype.kind in _NUMBERS:
            yield blob_error(name, makers[name], a, b)
