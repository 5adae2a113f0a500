"""What is wrong with a file, net or solver? A solver and the nets it names are checked together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from netdef.data.paths import find
from netdef.data.probe import prober
from netdef.diagnostics import Diagnostic, NetdefError, Source, Span, error, has_errors
from netdef.graph import Options, check, check_bound
from netdef.ir import Graph
from netdef.schema import netdef_pb2 as pb
from netdef.schema.bind import Bound
from netdef.schema.kind import kind_of
from netdef.schema.read import read_message, read_source
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.fitting import unfit
from netdef.text import parse


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a file and those it names, and the graphs that came of it."""

    diagnostics: tuple[Diagnostic, ...]
    graphs: tuple[Graph, ...] = ()


def check_file(path: str, options: Options) -> Findings:
    """Check a net or a solver as far as it goes; a file that cannot be read is a finding too."""
    try:
        return check_source(read_source(path), options)
    except NetdefError as failure:
        return Findings(failure.diagnostics)


def check_source(source: Source, options: Options) -> Findings:
    """Check a text that was read already."""
    if kind_of(parse(source).document) == "solver":
        return _check_solver(source, options)
    return _check_net(source, options)


def _check_net(source: Source, options: Options) -> Findings:
    checked = check(source, replace(options, path=source.name, probe=prober(source.name)))
    return Findings(checked.diagnostics, checked.graphs)


def _check_solver(source: Source, options: Options) -> Findings:
    bound = read_message(source, pb.SolverParameter)
    found = list(bound.diagnostics)
    config = None
    if not has_errors(found):
        config = SolverConfig.decode(bound.message, bound.where, found, path=source.name)
    graphs: list[Graph] = []
    each = list(_check_nets(config, bound, source, options))
    for findings in each:
        found += (diagnostic for diagnostic in findings.diagnostics if diagnostic not in found)
        graphs += findings.graphs
    if config is not None:
        found += _unfit(config, each)
    return Findings(tuple(found), tuple(graphs))


def _check_nets(
    config: SolverConfig | None, bound: Bound[pb.SolverParameter], solver: Source, options: Options
) -> Iterator[Findings]:
    """The nets as the solver trains and tests them; where it is wrong itself, the files it names, as they are."""
    if config is not None:
        for choice in _distinct(config):
            yield _check_choice(choice, bound, solver, options)
        return
    message = bound.message
    for path in dict.fromkeys(path for path in (message.net, message.train_net, *message.test_net) if path):
        yield _check_named(path, bound, solver, options)


def _distinct(config: SolverConfig) -> Iterator[NetChoice]:
    """The nets of a solver, those that differ in their number of batches alone once."""
    seen: list[NetChoice] = []
    for choice in (config.train, *config.tests):
        plain = replace(choice, num_batches=0)
        if plain not in seen:
            seen.append(plain)
            yield plain


def _unfit(config: SolverConfig, each: list[Findings]) -> list[Diagnostic]:
    """What the solver says of layers and outputs that its nets have not."""
    distinct = list(_distinct(config))
    graphs = [findings.graphs[0] if findings.graphs else None for findings in each]
    of = [graphs[distinct.index(replace(choice, num_batches=0))] for choice in (config.train, *config.tests)]
    return unfit(config, of[0], of[1:])


def _check_choice(choice: NetChoice, bound: Bound[pb.SolverParameter], solver: Source, options: Options) -> Findings:
    options = replace(options, phase=choice.phase, level=choice.level, stages=choice.stages)
    if choice.path is None:
        options = replace(options, path=solver.name, probe=prober(solver.name))
        checked = check_bound(Bound(choice.message, choice.where), options)
        return Findings(checked.diagnostics, checked.graphs)
    return _check_named(choice.path, bound, solver, options)


def _check_named(path: str, bound: Bound[pb.SolverParameter], solver: Source, options: Options) -> Findings:
    place = find(path, Path(solver.name).parent)
    if place is None:
        return Findings((_missing(path, bound),))
    try:
        return _check_net(read_source(place), options)
    except NetdefError as failure:
        return Findings(failure.diagnostics)


def _missing(path: str, bound: Bound[pb.SolverParameter]) -> Diagnostic:
    help = "a relative path is looked for in the working folder, then in the folder of the solver"
    return error("ND0320", f'the net "{path}" is not there', span=_place(path, bound), help=help)


def _place(path: str, bound: Bound[pb.SolverParameter]) -> Span | None:
    """Where a solver names the net at `path`."""
    message = bound.message
    for name in ("net", "train_net"):
        if getattr(message, name) == path:
            return bound.where.field(name)
    return bound.where.field("test_net", list(message.test_net).index(path))
