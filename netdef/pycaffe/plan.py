"""What is a net before it runs: its graph, and what of its message still matters then?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netdef.data.probe import prober
from netdef.diagnostics import NetdefError, error, has_errors
from netdef.files import PathLike
from netdef.graph import Options, compile_net
from netdef.ir import Graph, Phase
from netdef.pycaffe import mode
from netdef.schema import Where, read_message
from netdef.schema import netdef_pb2 as pb


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled net.

    Attributes:
        graph: its layers.
        force_backward: whether gradients are wanted everywhere.
        folder: where sources with relative paths are looked for after the working folder.
    """

    graph: Graph
    force_backward: bool
    folder: Path | None


def plan_file(path: PathLike, phase: Phase, level: int = 0, stages: Sequence[str] = ()) -> Plan:
    """Compile a net file.

    Raises:
        NetdefError: with every error in it.
    """
    bound = read_message(path, pb.NetParameter)
    if has_errors(bound.diagnostics):
        raise NetdefError(bound.diagnostics)
    mode.warn(bound.diagnostics)
    return plan_message(bound.message, bound.where, os.fspath(path), phase, level, stages)


def plan_message(
    message: Any, where: Where, path: str | None, phase: Phase, level: int = 0, stages: Sequence[str] = ()
) -> Plan:
    """Compile a NetParameter; `path` is that of the file that it came from.

    Raises:
        NetdefError: with every error in it; ND1002, a size that the net needs to know is nowhere stated.
    """
    options = Options(phase, level, tuple(stages), {}, prober(path), path)
    compiled = compile_net(message, where, options)
    if compiled.graph is None:
        raise NetdefError(compiled.diagnostics)
    mode.warn(compiled.diagnostics)
    _check_known(compiled.graph)
    return Plan(compiled.graph, message.force_backward, Path(path).parent if path else None)


def _check_known(graph: Graph) -> None:
    """Blobs take memory when a net is made, so the sizes of what comes in must be known."""
    unknown = [blob for blob in graph.inputs if not blob.shape.known]
    if unknown:
        help = "state its shape in the net (input_param), or see that its data source is there"
        found = [
            error("ND1002", f'the size of "{blob.name}" is not known: {blob.shape}', help=help) for blob in unknown
        ]
        raise NetdefError(found)
