"""How far do real files come? `python -m tests.corpus FOLDER` prints the funnel for any folder of prototxts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from netdef.diagnostics import Diagnostic, NetdefError, has_errors
from netdef.graph import Options, check_bound
from netdef.ir import Graph
from netdef.schema import netdef_pb2 as pb
from netdef.schema.kind import kind_of
from netdef.schema.read import read_message, read_source
from netdef.solver.config import SolverConfig
from netdef.text import parse

STAGES = ("parsed", "bound", "checked", "built", "exported")


@dataclass
class Journey:
    """What became of one file: the stages it passed, and what stopped it."""

    path: Path
    kind: str
    passed: list[str] = field(default_factory=list)
    diagnostics: tuple[Diagnostic, ...] = ()
    sizes_unknown: bool = False
    graphs: tuple[Graph, ...] = ()


def travel(path: Path, *, build: bool = False) -> Journey:
    """Take one file as far as it goes."""
    source = read_source(path)
    parsed = parse(source)
    journey = Journey(path, kind_of(parsed.document))
    journey.diagnostics = parsed.diagnostics
    if has_errors(parsed.diagnostics):
        return journey
    journey.passed.append("parsed")
    message = pb.SolverParameter if journey.kind == "solver" else pb.NetParameter
    bound = read_message(source, message)
    journey.diagnostics = bound.diagnostics
    if has_errors(bound.diagnostics):
        return journey
    journey.passed.append("bound")
    if journey.kind == "solver":
        found: list[Diagnostic] = []
        SolverConfig.decode(bound.message, bound.where, found, path=str(path))
        journey.diagnostics = tuple(found)
    else:
        checked = check_bound(bound, Options(path=str(path)))
        journey.diagnostics, journey.graphs = checked.diagnostics, checked.graphs
    if has_errors(journey.diagnostics):
        return journey
    journey.passed.append("checked")
    journey.sizes_unknown = any(not p.spec.shape.known for g in journey.graphs for p in g.params.values())
    if build and journey.graphs and not journey.sizes_unknown:
        _lower(journey)
    return journey


def _lower(journey: Journey) -> None:
    """Build the net in torch and emit it as ONNX, without weights: what shapes and rules alone can show."""
    from netdef.deploy.export import emit_net
    from netdef.targets.torch import build_module

    try:
        for graph in journey.graphs:
            build_module(graph, device="meta")
        journey.passed.append("built")
        emit_net(journey.graphs[-1])
        journey.passed.append("exported")
    except NetdefError as failure:
        journey.diagnostics = failure.diagnostics


def files(folder: Path) -> Iterator[Path]:
    """Every prototxt below a folder."""
    yield from sorted(folder.rglob("*.prototxt"))


def main(folder: Path) -> None:
    """Print how many files pass each stage, and what stops the others."""
    journeys = [travel(path, build=True) for path in files(folder)]
    nets = [journey for journey in journeys if journey.kind == "net"]
    print(f"{len(journeys)} files: {len(nets)} nets, {len(journeys) - len(nets)} solvers")
    for stage in STAGES:
        passed = [j for j in journeys if stage in j.passed]
        print(f"  {stage:9} {len(passed):4}")
    print(f"  checked, but their databases alone know the sizes: {sum(j.sizes_unknown for j in journeys)}")
    codes = Counter(next(d for d in j.diagnostics if d.severity.value == "error").code for j in journeys if has_errors(j.diagnostics))
    print("what stopped the others:", ", ".join(f"{code} {count}" for code, count in codes.most_common()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
