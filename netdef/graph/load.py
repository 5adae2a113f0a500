"""From a file to its Graph: read, parse, upgrade, bind, compile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from netdef.diagnostics import Diagnostic, NetdefError, Severity, Source, has_errors
from netdef.graph.compile import Compiled, compile_net, states_of
from netdef.graph.draft import Options
from netdef.graph.wire import LEFT_OUT
from netdef.graph.write import Messages
from netdef.ir import Graph, Phase
from netdef.schema import netdef_pb2 as pb
from netdef.schema.bind import Bound
from netdef.schema.read import read_message

PathOrSource = str | os.PathLike[str] | Source


@dataclass(frozen=True, slots=True)
class Checked:
    """A net file compiled for every phase that it is written for, and all that was found in it, each finding once."""

    bound: Bound[pb.NetParameter]
    graphs: tuple[Graph, ...]
    diagnostics: tuple[Diagnostic, ...]


def load(path: PathOrSource, options: Options) -> Graph:
    """The graph of a net file.

    Raises:
        NetdefError: with every error that a stage could find, if there is one.
    """
    return load_written(path, options)[0]


def load_written(path: PathOrSource, options: Options) -> tuple[Graph, Messages]:
    """The graph of a net file, and the message of each of its layers, for the graph to be written again.

    Raises:
        NetdefError: with every error that a stage could find, if there is one.
    """
    bound = read_message(path, pb.NetParameter)
    if has_errors(bound.diagnostics):
        raise NetdefError(bound.diagnostics)
    compiled = compile_net(bound.message, bound.where, _at(options, path))
    if compiled.graph is None:
        raise NetdefError((*bound.diagnostics, *compiled.diagnostics))
    return compiled.graph, compiled.messages


def check(path: PathOrSource, options: Options) -> Checked:
    """Compile a net file as far as it goes, for the phase asked for or for all that it is written for.

    Raises:
        NetdefError: the file cannot be read at all.
    """
    bound = read_message(path, pb.NetParameter)
    return check_bound(bound, _at(options, path))


def check_bound(bound: Bound[pb.NetParameter], options: Options) -> Checked:
    """What `check` does after reading: for nets that stand in another message, a solver's `net_param`, too."""
    if has_errors(bound.diagnostics):
        return Checked(bound, (), bound.diagnostics)
    states = _states(bound, options)
    compiled = [
        compile_net(bound.message, bound.where, replace(options, phase=phase, stages=stages))
        for phase, stages in states
    ]
    if not options.phase:
        compiled = _meant([phase for phase, _ in states], compiled)
    graphs = tuple(one.graph for one in compiled if one.graph)
    return Checked(bound, graphs, (*bound.diagnostics, *_merged(compiled)))


def _states(bound: Bound[pb.NetParameter], options: Options) -> tuple[tuple[Phase, tuple[str, ...]], ...]:
    """The state asked for; where no phase is, those that the file is written for, with the stages asked for."""
    if options.phase:
        return ((options.phase, options.stages),)
    meant = states_of(bound.message, bound.where)
    return tuple(dict.fromkeys((phase, options.stages or stages) for phase, stages in meant))


def _meant(phases: Sequence[Phase], compiled: Sequence[Compiled]) -> list[Compiled]:
    """What is to be told of states guessed from a file's rules: a net that is whole in one need not be in all.

    Where all that a state lacks are layers that its rules drop, it was hardly meant: of a phase that is whole with
    other stages nothing is told, and a phase that is whole with none (a deploy net's TRAIN, say) is warned about.
    """
    whole = {phase for phase, one in zip(phases, compiled, strict=True) if one.graph}
    if not whole:
        return list(compiled)
    told = [one for one in compiled if one.graph or not _lacks_dropped_layers(one)]
    lacking: dict[Phase, list[Compiled]] = {}
    for phase, one in zip(phases, compiled, strict=True):
        if phase not in whole and _lacks_dropped_layers(one):
            lacking.setdefault(phase, []).append(one)
    for states in lacking.values():
        nearest = min(states, key=lambda one: len(one.diagnostics))
        told.append(replace(nearest, diagnostics=tuple(map(_dubious, nearest.diagnostics))))
    return told


def _dubious(found: Diagnostic) -> Diagnostic:
    return replace(found, severity=Severity.WARNING) if found.severity is Severity.ERROR else found


def _lacks_dropped_layers(compiled: Compiled) -> bool:
    """Of a net that is not whole: whether it would be, had its rules dropped nothing."""
    errors = [d for d in compiled.diagnostics if d.severity is Severity.ERROR]
    return all(any(label.text == LEFT_OUT for label in d.labels) for d in errors)


def _merged(compiled: Sequence[Compiled]) -> tuple[Diagnostic, ...]:
    """The findings of all phases in the order of the text, those that two phases share once."""
    places: dict[tuple[str, int, str], Diagnostic] = {}
    for diagnostic in (d for one in compiled for d in one.diagnostics):
        start = diagnostic.span.start if diagnostic.span else -1
        places.setdefault((diagnostic.code, start, diagnostic.message), diagnostic)
    return tuple(sorted(places.values(), key=lambda d: d.span.start if d.span else -1))


def _at(options: Options, path: PathOrSource) -> Options:
    return options if isinstance(path, Source) or options.path else replace(options, path=os.fspath(path))
