"""The public functions: a net file to its graph, a graph to a torch module or an ONNX file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import fx

from netdef.data.probe import prober
from netdef.diagnostics import Diagnostic, NetdefError, Severity
from netdef.files import PathLike
from netdef.graph import Options, load
from netdef.ir import Graph, Phase, Shape
from netdef.layers.python import allowing
from netdef.nn.python_host import PythonHost
from netdef.solver.device import demanded
from netdef.targets.torch import build_module, load_arrays, net_layers, shared_blobs
from netdef.weights import match, read_weights

if TYPE_CHECKING:
    from netdef.deploy import ExportReport

__all__ = ["NetdefError", "allow_python", "build", "eject", "export_onnx", "load_net", "read_weights"]


@contextmanager
def allow_python() -> Iterator[None]:
    """Let the nets that are loaded in the block run the code of their `Python` layers, then and later.

    Without it nothing of a net's own code is imported: shapes behind such layers are unknown, and building is refused
    (ND0485).
    """
    with allowing(PythonHost()):
        yield


def load_net(
    path: PathLike,
    phase: Phase | None = None,
    *,
    level: int = 0,
    stages: Sequence[str] = (),
    shapes: Mapping[str, Sequence[int | None]] | None = None,
) -> Graph:
    """Read a net and compile it for one phase, level and set of stages.

    Args:
        path: a net in protobuf text.
        phase: TRAIN or TEST; the net's own `state` if None, TEST where it states none.
        level: Caffe's NetState's.
        stages: Caffe's NetState's.
        shapes: sizes of blobs, where the database that would tell them is not there (None in them: not known).

    Raises:
        NetdefError: its `diagnostics` say all that is wrong.
    """
    given = {name: Shape(tuple(sizes)) for name, sizes in (shapes or {}).items()}
    return load(path, Options(phase, level, tuple(stages), given, prober(path)))


def build(
    net: Graph,
    weights: PathLike | Sequence[PathLike] = (),
    *,
    strict: bool = False,
    device: torch.device | str = "cpu",
    seed: int | None = None,
) -> fx.GraphModule:
    """Build the torch module of a graph, with weights from files (matched by layer name) over those of the fillers.

    The module takes one keyword argument for each of the net's inputs and returns a dict of its outputs. `seed` makes
    the fillers repeatable. With `strict` net and files must have the same layers. What is dubious about the weights is
    logged by the logger "netdef".

    Raises:
        NetdefError: there is no such device, a layer cannot be built, or weights do not fit.
    """
    module = build_module(net, rng=np.random.default_rng(seed), device=demanded(device))
    files = [read_weights(file) for file in _files(weights)]
    report = match(net_layers(net), files, strict=strict, shared=shared_blobs(net))
    load_arrays(module, net, report.arrays)
    _log(report.warnings)
    return module


def export_onnx(
    net: Graph,
    path: PathLike,
    weights: PathLike | Sequence[PathLike] = (),
    *,
    strict: bool = False,
    opset: int | None = None,
    dynamic_batch: bool = True,
    dynamic_size: bool = False,
    verify: bool = True,
) -> ExportReport:
    """Write a net as an ONNX file that is proven to compute what `build` does, and report the largest differences.

    The net is brought into its deploy form: losses become predictions, labels and metrics go. The batch axis is free,
    or the net's own with `dynamic_batch=False`; with `dynamic_size` height and width of the images are free too.
    With `strict` the deployed net and the weight files must have the same layers.

    Raises:
        NetdefError: the net cannot be exported, or weights do not fit.
        RunError: the model parts from torch, or cannot be written; nothing is left at `path` then.
    """
    from netdef.deploy import export  # brings onnx and its runtime, which training has no use for

    batch = None if dynamic_batch else net.inputs[0].shape[0]
    files = _files(weights)
    return export(
        net, path, weights=files, strict=strict, opset=opset, batch=batch, any_size=dynamic_size, verify=verify
    )


def eject(net: Graph, path: PathLike, weights: PathLike | Sequence[PathLike] = (), *, strict: bool = False) -> None:
    """Write a net as one PyTorch file that needs torch alone, and its weights, if there are any, beside it.

    The file's `Net` computes what `build` does, bit for bit, and has the same ``state_dict``; the weights go to the
    same name with the extension .safetensors. A net of phase TEST is brought into its deploy form first.
    With `strict` the net that is written and the weight files must have the same layers.

    Raises:
        NetdefError: a layer cannot stand in a file of its own, or weights do not fit.
    """
    from netdef.deploy.eject import eject as write  # brings onnx's runtime, which training has no use for

    _log(write(net, path, _files(weights), strict=strict).warnings)


def _log(found: Iterable[Diagnostic]) -> None:
    for told in found:
        level = logging.WARNING if told.severity is Severity.WARNING else logging.INFO
        logging.getLogger("netdef").log(level, "%s: %s", told.code, told.message)


def _files(paths: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)
