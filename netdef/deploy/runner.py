"""What runs a net on images: ONNX Runtime or torch, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from netdef.data.batch import Floats
from netdef.deploy.around import told
from netdef.deploy.pictures import Sizes
from netdef.deploy.replay import read_model, require_model
from netdef.deploy.runtime import Session, exposing, open_session
from netdef.deploy.twin import arrays_of, load_weights
from netdef.diagnostics import Diagnostic, NetdefError, RunError, error, warning
from netdef.diagnostics.words import some
from netdef.files import PathLike
from netdef.graph.deploy import deploy
from netdef.ir import Blob, Graph
from netdef.schema.suggest import nearest
from netdef.solver.device import products
from netdef.targets.onnx import COMMON_OPSET, batch_of, emit, sizes
from netdef.targets.onnx.camera import core
from netdef.targets.torch import build_module

Array = NDArray[Any]
Backend = Literal["onnx", "torch"]


@dataclass(frozen=True, slots=True)
class Runner:
    """A net that takes one batch of images.

    Attributes:
        sizes: (C, H, W) of an image; height and width are None where they are free.
        batch: the number of rows that the net insists on; None where it takes any.
        outputs: the names of what it gives.
        engine: what computes, for people.
        forward: from (N, C, H, W) to the outputs by name.
        warnings: about the weights.
        takes_bytes: whether the net takes pixels as they are, from 0 to 255 and no fractions.
    """

    sizes: Sizes
    batch: int | None
    outputs: tuple[str, ...]
    engine: str
    forward: Callable[[Floats], Mapping[str, Array]]
    warnings: tuple[Diagnostic, ...] = ()
    takes_bytes: bool = False

    def run(self, rows: Floats) -> dict[str, Array]:
        """The outputs for any number of rows; a net of a fixed batch gets them in pieces, the last one filled up.

        RunError: ND0909, ND0957.
        """
        if self.batch in (None, len(rows)):
            return dict(self.forward(rows))
        pieces = [self._piece(rows[start : start + self.batch]) for start in range(0, len(rows), self.batch)]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in self.outputs}

    def _piece(self, rows: Floats) -> dict[str, Array]:
        full = np.zeros((self.batch or 0, *rows.shape[1:]), np.float32)
        full[: len(rows)] = rows
        return {name: value[: len(rows)] for name, value in self.forward(full).items()}


def open_onnx(path: PathLike, blobs: Sequence[str] = ()) -> Runner:
    """An ONNX file, on a CUDA device where ONNX Runtime has one; `blobs` are values to give in place of its outputs.

    Of a model that prepares images or chooses classes by itself the net inside runs.

    NetdefError: ND0910 no model, ND0952 it takes no images, ND0954 no such blob. RunError: ND0909.
    """
    require_model(path)
    if not blobs and not told(Path(path)).dressed:
        return _onnx_runner(open_session(Path(path), gpu=True), str(path))
    model = core(read_model(path))
    if not blobs:
        return _onnx_runner(open_session(model, gpu=True), str(path))
    _require_blobs(blobs, [name for node in model.graph.node for name in node.output], str(path))
    with exposing(model, tuple(dict.fromkeys(blobs))):
        return _onnx_runner(open_session(model, gpu=True), str(path))


def open_net(
    graph: Graph,
    weights: Sequence[PathLike],
    blobs: Sequence[str] = (),
    backend: Backend = "onnx",
    *,
    strict: bool = False,
) -> Runner:
    """A net in its deploy form; `blobs` are values to give in place of its outputs.

    With `strict` it and the files must have the same layers.
    NetdefError: ND0952 it takes no images, ND0954 no such blob, ND06xx the weights, and as the back end has them.
    """
    net = _giving(deploy(graph), blobs)
    channels_first = _image_input(net)
    wanted = [blob.id for blob in net.outputs]
    gpu = backend == "torch" and torch.cuda.is_available()
    module = build_module(net, outputs=wanted, rng=np.random.default_rng(0), device="cuda" if gpu else "cpu")
    report = load_weights(module, net, weights, strict=strict)
    warnings = (*report.warnings, *_random(net, weights, report.left))
    batch = _batch(net)
    if backend == "onnx":
        session = open_session(emit(net, arrays_of(module, net), opset=COMMON_OPSET, batch=batch), gpu=True)
        return replace(_renamed(_onnx_runner(session, graph.name), net), warnings=warnings)
    engine = f"torch on {torch.cuda.get_device_name()}" if gpu else "torch on the CPU"
    (name,) = module.meta["inputs"].values()
    return Runner(channels_first, batch, tuple(wanted), engine, _torch_forward(module, name, gpu), warnings)


def _torch_forward(module: torch.nn.Module, name: str, gpu: bool) -> Callable[[Floats], Mapping[str, Array]]:
    def forward(rows: Floats) -> dict[str, Array]:
        batch = torch.from_numpy(rows)
        try:
            with torch.inference_mode(), products(to_tf32=False):  # torch rounds convolutions unless it is told
                found = module(**{name: batch.cuda() if gpu else batch})
            return {id: value.float().cpu().numpy() for id, value in found.items()}
        except RuntimeError as fault:  # no memory, or a layer that does not take this number of rows
            message = f"torch cannot run the net on {len(rows)} images: {str(fault).splitlines()[0][:200]}"
            raise RunError([error("ND0957", message, help="try a smaller --batch")]) from fault

    return forward


def _renamed(runner: Runner, net: Graph) -> Runner:
    """The runner of a net's own model, its outputs called as the net calls them."""
    names = {blob.id: name for blob, name in zip(net.outputs, runner.outputs, strict=True)}

    def forward(rows: Floats) -> Mapping[str, Array]:
        found = runner.forward(rows)
        return {id: found[name] for id, name in names.items()}

    return replace(runner, outputs=tuple(names), forward=forward)


def _onnx_runner(session: Session, name: str) -> Runner:
    if len(session.inputs) != 1:
        inputs = ", ".join(f'"{each}"' for each in session.inputs) or "none"
        raise NetdefError([error("ND0952", f"{name}: a net that predicts takes images alone; its inputs are {inputs}")])
    ((input, dims),) = session.inputs.items()
    what = f'{name}: input "{input}"'
    kind = _TYPES.get(session.types[input])
    if kind is None:
        raise NetdefError([error("ND0952", f"{what} is a {session.types[input]}; images are {', '.join(_TYPES)}")])
    last = _channels_last(dims)
    sizes = _image_sizes((dims[0], dims[3], *dims[1:3]) if last else dims, what, free=True)
    batch = dims[0] if isinstance(dims[0], int) else None

    def forward(rows: Floats) -> Mapping[str, Array]:
        given = rows.transpose(0, 2, 3, 1) if last else rows
        return session.run({input: np.ascontiguousarray(given, kind)})

    engine = f"ONNX Runtime, {session.provider}"
    return Runner(sizes, batch, session.outputs, engine, forward, takes_bytes=kind is np.uint8)


_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""What ONNX Runtime calls the types that images may have."""


def _channels_last(dims: Sequence[int | str | None]) -> bool:
    """Whether an input is laid out batch x height x width x channels, as models from TensorFlow are."""
    return len(dims) == 4 and dims[1] not in (1, 3) and dims[3] in (1, 3)


def _image_input(net: Graph) -> Sizes:
    if len(net.inputs) != 1:
        names = ", ".join(f'"{blob.name}"' for blob in net.inputs) or "none"
        message = f'net "{net.name}": a net that predicts takes images alone; its inputs are {names}'
        raise NetdefError([error("ND0952", message)])
    (blob,) = net.inputs
    span = net.producers[blob.id].places.layer
    dims = blob.shape.dims or ()
    rows = dims[0] if dims and dims[0] else 1
    help = f"say it: --shape {blob.name}={rows}x3x224x224; --resize and --mean V,V,V tell it too"
    try:
        return _image_sizes(dims, f'net "{net.name}": input "{blob.name}"', help)
    except NetdefError as refusal:
        raise NetdefError([replace(each, span=span) for each in refusal.diagnostics]) from refusal


def _image_sizes(dims: Sequence[int | str | None], what: str, help: str = "", *, free: bool = False) -> Sizes:
    """Channels, height and width of an input; `free` lets height and width be unknown."""
    shape = "x".join("?" if size is None else str(size) for size in dims) or "of unknown sizes"
    if dims and (len(dims) != 4 or (isinstance(dims[1], int) and dims[1] not in (1, 3))):
        raise NetdefError([error("ND0952", f"{what} is {shape}; images are batch x 1 or 3 channels x height x width")])
    known = [size if isinstance(size, int) else None for size in dims[1:]]
    if not known or known[0] is None or (None in known and not free):
        help = help or "export it with the number of channels that it is to have"
        raise NetdefError([error("ND0952", f"{what} is {shape}: the size of its images is not known", help=help)])
    return known[0], known[1], known[2]


def _giving(net: Graph, blobs: Sequence[str]) -> Graph:
    if not blobs:
        return net
    _require_blobs(blobs, net.blobs, f'net "{net.name}"')
    wanted: list[Blob] = [net.blobs[name] for name in dict.fromkeys(blobs)]
    return replace(net, outputs=tuple(wanted))


def _require_blobs(blobs: Sequence[str], known: Sequence[str] | Mapping[str, Blob], what: str) -> None:
    found = []
    for name in dict.fromkeys(blobs):
        if name not in known:
            meant = nearest(name, known)
            help = f'did you mean "{meant}"?' if meant else "`netdef summary` lists the blobs"
            found.append(error("ND0954", f'{what} computes no blob "{name}"', help=help))
    if found:
        raise NetdefError(found)


def _batch(net: Graph) -> int | None:
    """None where the batch is free; the written size where a layer insists on it."""
    try:
        sizes(net, None)
    except NetdefError:
        return batch_of(net).size
    return None


def _random(net: Graph, weights: Sequence[PathLike], left: Sequence[str]) -> list[Diagnostic]:
    if not net.params or (weights and not left):
        return []
    message = (
        f"no weights for {some(left)}: their values are random" if weights else "no --weights: the net's are random"
    )
    return [warning("ND0912", message)]
