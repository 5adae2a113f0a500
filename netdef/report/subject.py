"""Which net does a file given to `time` or `gradcheck` mean, and with which settings is it computed?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from netdef.data.probe import prober
from netdef.diagnostics import Diagnostic, NetdefError, has_errors
from netdef.graph import Options, compile_net, load
from netdef.ir import Graph
from netdef.schema import netdef_pb2 as pb
from netdef.schema.kind import kind_of
from netdef.schema.read import read_source
from netdef.schema.where import Where
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.nets import net_path, read_config
from netdef.text import parse


@dataclass(frozen=True, slots=True)
class Subject:
    """A graph, and the solver configuration that it is computed under.

    Attributes:
        graph: the net asked for.
        config: the solver's; for a net file one that only has defaults, on the processor.
        path: the net's file; the solver's for a net written out in it.
        warnings: of the solver.
    """

    graph: Graph
    config: SolverConfig
    path: str
    warnings: tuple[Diagnostic, ...] = ()


def read_subject(path: str, options: Options) -> Subject:
    """The net of a net file, or the one that a solver trains (with phase TEST the first that it tests).

    Raises:
        NetdefError: with every error in the file or its net.
    """
    if kind_of(parse(read_source(path)).document) == "net":
        options = replace(options, probe=prober(path))
        return Subject(load(path, options), _defaults(path), path)
    config, warnings = read_config(path)
    choice = config.tests[0] if options.phase == "TEST" and config.tests else config.train
    where = net_path(choice, config) or path
    return Subject(_graph(choice, _options(options, choice, where)), config, where, warnings)


def _options(options: Options, choice: NetChoice, path: str) -> Options:
    """What the command line asks for goes before the solver's level; stages add up."""
    return replace(
        options,
        phase=options.phase or choice.phase,
        level=options.level or choice.level,
        stages=(*choice.stages, *options.stages),
        probe=prober(path),
        path=path,
    )


def _graph(choice: NetChoice, options: Options) -> Graph:
    if choice.path is not None:
        assert options.path is not None
        return load(options.path, options)
    compiled = compile_net(choice.message, choice.where, options)
    if compiled.graph is None or has_errors(compiled.diagnostics):
        raise NetdefError(compiled.diagnostics)
    return compiled.graph


def _defaults(path: str) -> SolverConfig:
    fields: dict[str, Any] = {"net": path, "base_lr": 0, "lr_policy": "fixed", "max_iter": 0, "solver_mode": "CPU"}
    config = SolverConfig.decode(pb.SolverParameter(**fields), Where.nowhere(), [], path=path)
    assert config is not None, "a configuration of defaults decodes"
    return config
