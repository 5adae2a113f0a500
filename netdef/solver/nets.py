"""Which graphs does a run need? From the solver's choices to compiled nets, still without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netdef.data.paths import find
from netdef.data.probe import prober
from netdef.diagnostics import Diagnostic, NetdefError, error, has_errors
from netdef.graph import Options, compile_net, load
from netdef.ir import Graph
from netdef.schema import netdef_pb2 as pb
from netdef.schema import read_message, read_source
from netdef.schema.kind import kind_of
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.factors import apply_rules
from netdef.solver.fitting import learns_nothing
from netdef.text import parse


def read_config(path: str) -> tuple[SolverConfig, tuple[Diagnostic, ...]]:
    """The configuration in a solver file, and warnings about it.

    Raises:
        NetdefError: with every error in it.
    """
    source = read_source(path)
    if kind_of(parse(source).document) == "net":
        help = "give the solver file, which names the net; `netdef explain ND0706` shows one"
        raise NetdefError([error("ND0706", f"{path} is a net, not a solver", help=help)])
    bound = read_message(source, pb.SolverParameter)
    found = list(bound.diagnostics)
    config = SolverConfig.decode(bound.message, bound.where, found, path=path)
    if config is None or has_errors(found):
        raise NetdefError(found)
    return config, tuple(found)


def folder_of(path: str | None) -> Path | None:
    """Where relative paths of a file are looked for after the working folder."""
    return Path(path).parent if path is not None else None


def net_path(choice: NetChoice, config: SolverConfig) -> str | None:
    """The net's file: from the working folder as in Caffe, else from the solver's; None for one written out.

    Raises:
        NetdefError: ND0320, it is in neither.
    """
    if choice.path is None:
        return None
    found = find(choice.path, folder_of(config.path))
    if found is None:
        help = "a relative path is looked for in the working folder, then in the folder of the solver"
        raise NetdefError([error("ND0320", f'the net "{choice.path}" is not there', span=choice.span, help=help)])
    return str(found)


def own_weights(config: SolverConfig) -> list[str]:
    """The files of the solver's `weights`, each from the working folder, else from the solver's, as its nets are.

    Raises:
        NetdefError: ND0601, for each that is in neither.
    """
    places = [(file, find(file.path, folder_of(config.path))) for file in config.weights]
    help = "a relative path is looked for in the working folder, then in the folder of the solver"
    missing = [
        error("ND0601", f'the weights "{file.path}" are not there', span=file.span, help=help)
        for file, place in places
        if place is None
    ]
    if missing:
        raise NetdefError(missing)
    return [str(place) for _, place in places]


def compile_choice(
    choice: NetChoice, config: SolverConfig, level: int | None = None, stages: Sequence[str] = ()
) -> Graph:
    """The graph of one of the run's nets, sizes of data asked of their sources; `level` goes before the solver's.

    Raises:
        NetdefError: with every error in the net.
    """
    path = net_path(choice, config)
    options = Options(
        phase=choice.phase,
        level=choice.level if level is None else level,
        stages=(*choice.stages, *stages),
        probe=prober(path or config.path),
        path=path or config.path,
    )
    rules = config.param_rules if choice is config.train else ()
    if path is not None:
        return apply_rules(load(path, options), rules)
    compiled = compile_net(choice.message, choice.where, options)
    if compiled.graph is None:
        raise NetdefError(compiled.diagnostics)
    return apply_rules(compiled.graph, rules)


def check_trainable(graph: Graph, config: SolverConfig) -> None:
    """Refuse a net without a loss, without anything to learn, or whose data do not come by themselves (ND0712)."""
    found = []
    for node in graph.nodes:
        if node.type == "Input":
            message = f'layer "{node.name}" is an Input: nothing feeds it in training'
            help = "use a data layer (Data, HDF5Data, ImageData, DummyData)"
            found.append(error("ND0712", message, span=node.places.layer, help=help))
    found += learns_nothing(graph, config)
    if found:
        raise NetdefError(found)


def batch_size(graph: Graph) -> int:
    """Rows of the first blob that a source, or else a Python layer, brings in; 1 where unknown."""
    made = (blob for node in graph.nodes if node.type == "Python" and not node.bottoms for blob in node.tops)
    shapes = (blob.shape for blob in (*graph.inputs, *made) if blob.shape.ranked and blob.shape.rank)
    return next((shape[0] or 1 for shape in shapes), 1)
