"""How is an ONNX model run? The one place that knows ONNX Runtime, and onnx's own evaluator beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime  # type: ignore[import-untyped]
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as faults  # type: ignore[import-untyped]

from netdef.deploy.evaluator import evaluator
from netdef.diagnostics import RunError, error
from netdef.targets.onnx import EXTERNAL_DATA_LIMIT, OLDEST_OPSET, newest_known, save
from netdef.targets.onnx.saving import tensor_bytes

Array = npt.NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]

_FAULTS = (
    faults.Fail,
    faults.InvalidArgument,
    faults.InvalidGraph,
    faults.InvalidProtobuf,
    faults.NoSuchFile,
    faults.NotImplemented,
    faults.RuntimeException,
)
"""What ONNX Runtime raises; it has no common ancestor but Exception."""


_REFERENCE_FAULTS = (ArithmeticError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What numpy code may raise where an operator is not, or wrongly, written out."""


def version() -> str:
    """ONNX Runtime's version."""
    return str(onnxruntime.__version__)


@dataclass(frozen=True, slots=True)
class Session:
    """A model ready to run in ONNX Runtime.

    Attributes:
        run: a function from inputs to outputs, by name.
        inputs: sizes of each input; a name or None where they are free.
        types: ONNX Runtime's name of each input's type.
        outputs: names of the outputs, in the model's order.
        provider: what computes, such as CUDAExecutionProvider.
    """

    run: Run
    inputs: Mapping[str, tuple[int | str | None, ...]]
    types: Mapping[str, str]
    outputs: tuple[str, ...]
    provider: str


def session(model: onnx.ModelProto | Path, *, optimise: bool = True) -> Run:
    """A function from inputs to outputs, by name, that runs the model in ONNX Runtime on the CPU.

    Raises:
        RunError: ONNX Runtime does not take the model, or (when called) cannot run it (ND0909).
    """
    return open_session(model, optimise=optimise).run


def open_session(model: onnx.ModelProto | Path, *, optimise: bool = True, gpu: bool = False) -> Session:
    """The model in ONNX Runtime, on the CPU, or with `gpu` on a CUDA device where the installed one has it.

    Raises:
        RunError: as `session`.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    there = onnxruntime.get_available_providers() if gpu else ()
    providers = [*(name for name in there if name == "CUDAExecutionProvider"), "CPUExecutionProvider"]
    try:
        runner = _load(model, options, providers)
    except _FAULTS as fault:
        raise _refused("ONNX Runtime does not take the model", fault) from fault
    names = [output.name for output in runner.get_outputs()]

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return dict(zip(names, runner.run(names, dict(feeds)), strict=True))
        except _FAULTS as fault:
            raise _refused("ONNX Runtime cannot run the model", fault) from fault

    shapes = {item.name: tuple(item.shape) for item in runner.get_inputs()}
    types = {item.name: str(item.type) for item in runner.get_inputs()}
    return Session(run, shapes, types, tuple(names), str(runner.get_providers()[0]))


def reference(model: onnx.ModelProto) -> Run:
    """The same by onnx's reference evaluator: slow, in numpy, a second opinion.

    Raises:
        RunError: it does not know an operator, or (when called) cannot run it (ND0909).
    """
    names = [output.name for output in model.graph.output]
    try:
        ready = evaluator(model)
    except _REFERENCE_FAULTS as fault:
        raise _refused("onnx's reference evaluator does not take the model", fault) from fault

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            with np.errstate(all="ignore"):
                return dict(zip(names, ready.run(names, dict(feeds)), strict=True))
        except _REFERENCE_FAULTS as fault:
            raise _refused("onnx's reference evaluator cannot run the model", fault) from fault

    return run


@contextmanager
def exposing(
    model: onnx.ModelProto, names: Sequence[str], infos: Mapping[str, onnx.ValueInfoProto] | None = None
) -> Iterator[onnx.ModelProto]:
    """Inside the block the model's outputs are `names`, values of its nodes; no copy, since it may be large.

    What the model does not state of a value is in `infos`, else it is of float32.
    """
    outputs = [*model.graph.output]
    stated = {info.name: info for info in (*model.graph.value_info, *outputs)} | dict(infos or {})
    del model.graph.output[:]
    model.graph.output.extend(stated.get(name) or _unshaped(name) for name in names)
    try:
        yield model
    finally:
        del model.graph.output[:]
        model.graph.output.extend(outputs)


@cache
def newest_runnable() -> int:
    """The newest operator set that both the installed onnx and ONNX Runtime take."""
    for opset in range(newest_known(), OLDEST_OPSET, -1):
        try:
            session(_identity(opset))
        except RunError:
            continue
        return opset
    return OLDEST_OPSET


def _load(model: onnx.ModelProto | Path, options: Any, providers: Sequence[str]) -> Any:
    if isinstance(model, Path):
        return onnxruntime.InferenceSession(str(model), options, providers=providers)
    if tensor_bytes(model) <= EXTERNAL_DATA_LIMIT:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
    options.add_session_config_entry("session.disable_prepacking", "1")  # or each weight is there twice
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        return onnxruntime.InferenceSession(str(path), options, providers=providers)


def _identity(opset: int) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [x], [y])
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


def _unshaped(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)


def _refused(what: str, fault: Exception) -> RunError:
    return RunError([error("ND0909", f"{what}: {_short(fault)}", help="another --opset may work")])


def _short(fault: Exception) -> str:
    """The first line of ONNX Runtime's message, without its own numbering."""
    text = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
    return text.split(" : ", 3)[-1][:400]
