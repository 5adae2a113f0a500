"""Does an ONNX file that was exported some time ago still compute what its net computes?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import load_external_data_for_model

from netdef.deploy.export import interface
from netdef.deploy.report import Proof
from netdef.deploy.twin import torch_twin
from netdef.deploy.verify import Step, prove, silent
from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.files import PathLike
from netdef.graph.deploy import deploy
from netdef.ir import Graph, Shape
from netdef.targets.onnx import batch_of, image_inputs, sizes, value_names
from netdef.targets.onnx.camera import core

Interface = Mapping[str, tuple[int | str, ...]]


def replay(
    path: PathLike,
    net: Graph,
    *,
    weights: Sequence[PathLike] = (),
    strict: bool = False,
    reference: bool | None = None,
    seed: int = 0,
    step: Step = silent,
) -> Proof:
    """Prove again that the model at `path` computes what `net` with `weights` does in torch.

    Every blob is compared that the net names and some node of the model writes, so a model of another tool will do if
    its inputs and outputs bear the net's names. What `--preprocess` and `--top-k` put around a net is left out.
    With `strict` the deployed net and the weight files must have the same layers.

    Raises:
        NetdefError: the file is no model (ND0910), or not one of this net (ND0911).
        RunError: malformed, not runnable, or not equal (ND0907-ND0909).
    """
    step("reading the model")
    model = core(read_model(path))
    graph = deploy(net)
    batch = _batch(_inputs(model, graph), graph)
    _require_same(model, sizes(graph, batch), graph)
    any_size = _any_size(model, graph)
    step("reading weights")
    module, _ = torch_twin(graph, weights, seed, strict=strict)
    return prove(graph, module, model, batch=batch, any_size=any_size, seed=seed, reference=reference, step=step)


def read_model(path: PathLike) -> onnx.ModelProto:
    """The model at `path`, with the data of its data file; NetdefError ND0910 where one of them cannot be read."""
    model = _parsed(path)
    if not model.graph.node or not model.graph.output:
        raise _unreadable(path, "it is no ONNX model: it has no graph")
    _require_data(model, Path(path))
    try:
        load_external_data_for_model(model, os.fspath(Path(path).parent))
    except (OSError, onnx.checker.ValidationError, ValueError) as fault:
        raise _unreadable(path, f"its data cannot be read ({' '.join(str(fault).split())[:200]})") from fault
    return model


def require_model(path: PathLike) -> None:
    """See that a model and its data files are there and whole, without reading the data; NetdefError ND0910."""
    _require_data(_parsed(path), Path(path))


def _parsed(path: PathLike) -> onnx.ModelProto:
    try:
        return onnx.load(path, format="protobuf", load_external_data=False)
    except OSError as fault:
        raise _unreadable(path, fault.strerror or str(fault)) from fault
    except (DecodeError, ValueError) as fault:
        raise _unreadable(path, f"it is no ONNX model, or cut short ({' '.join(str(fault).split())[:200]})") from fault


def _require_data(model: onnx.ModelProto, path: Path) -> None:
    """The tensors that stand in other files are there."""
    needed: dict[str, int] = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            told = {entry.key: entry.value for entry in tensor.external_data}
            end = sum(int(told[key]) for key in ("offset", "length") if told.get(key, "").isdecimal())
            name = told.get("location", "")
            needed[name] = max(end, needed.get(name, 0))
    for name, size in needed.items():
        file = path.parent / name
        if not file.is_file():
            raise _unreadable(path, f'its data file "{name}" is not beside it')
        if file.stat().st_size < size:
            found = f"{file.stat().st_size:,} of {size:,} bytes"
            raise _unreadable(path, f'its data file "{name}" is cut short: {found}')


def _unreadable(path: PathLike, why: str) -> NetdefError:
    return NetdefError([error("ND0910", f"{Path(path)} cannot be read: {why}")])


def _batch(inputs: Interface, graph: Graph) -> int | None:
    """The batch size that the model fixes; None where it is free."""
    for id, axis in batch_of(graph).axes.items():
        if axis < len(inputs.get(id, ())) and isinstance(size := inputs[id][axis], int):
            return size
    return None


def _any_size(model: onnx.ModelProto, graph: Graph) -> bool:
    """Whether the model leaves height and width of its images free."""
    inputs = _inputs(model, graph)
    return any(isinstance(size, str) for blob in image_inputs(graph) for size in inputs[blob.id][2:])


def _inputs(model: onnx.ModelProto, graph: Graph) -> Interface:
    """The model's inputs by blob id; those that the net does not know by their own names."""
    ids = {name: id for id, name in value_names(graph).items()}
    return {ids.get(name, name): dims for name, dims in interface(model.graph.input).items()}


def _require_same(model: onnx.ModelProto, shapes: Mapping[str, Shape], graph: Graph) -> None:
    """Inputs alike in name and size, and every output of the net in the model; else ND0911, all that differs."""
    found = [*_inputs_apart(_inputs(model, graph), shapes, graph)]
    names = value_names(graph)
    made = {name for node in model.graph.node for name in node.output}
    missing = [blob.id for blob in graph.outputs if names[blob.id] not in made]
    if missing:
        outputs = ", ".join(info.name for info in model.graph.output)
        found.append(error("ND0911", f"the model lacks the net's {', '.join(missing)}; it gives {outputs}"))
    if found:
        raise NetdefError(found)


def _inputs_apart(inputs: Interface, shapes: Mapping[str, Shape], graph: Graph) -> list[Diagnostic]:
    names = [blob.id for blob in graph.inputs]
    if sorted(names) != sorted(inputs):
        return [error("ND0911", f"the net's inputs are {', '.join(names)}, the model's {', '.join(inputs)}")]
    return [
        error("ND0911", f'input "{id}" is {shapes[id]} in the net and {_text(inputs[id])} in the model')
        for id in names
        if not _fits(shapes[id].sizes, inputs[id])
    ]


def _fits(net: tuple[int | None, ...], model: tuple[int | str, ...]) -> bool:
    return len(net) == len(model) and all(
        a is None or isinstance(b, str) or a == b for a, b in zip(net, model, strict=True)
    )


def _text(dims: tuple[int | str, ...]) -> str:
    return "x".join(map(str, dims)) or "scalar"
