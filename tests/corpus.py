"""How far do real files come? `python -m tests.corpus FOLDER` prints the funnel for any folder of prototxts.

`--list` says of every file that is stopped where and why, `--no-build` leaves the torch and ONNX targets out.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from netdef.diagnostics import Diagnostic, NetdefError, has_errors
from netdef.graph import Options, check_bound
from netdef.graph.deploy import deploy
from netdef.ir import Graph
from netdef.layers import registry
from netdef.schema import netdef_pb2 as pb
from netdef.schema.kind import kind_of
from netdef.schema.read import read_message, read_source
from netdef.solver.config import SolverConfig
from netdef.text import parse

STAGES = ("parsed", "bound", "checked", "built", "exported")
TARGETS = frozenset({"built", "exported"})


@dataclass
class Journey:
    """What became of one file: the stages it passed, and what stopped it.

    `foreign` says that it holds types or fields that BVLC's Caffe does not have, by whose fault it cannot go further.
    """

    path: Path
    kind: str = ""
    passed: list[str] = field(default_factory=list)
    diagnostics: tuple[Diagnostic, ...] = ()
    sizes_unknown: bool = False
    graphs: tuple[Graph, ...] = ()

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity.value == "error")

    @property
    def stopped_at(self) -> str | None:
        """The stage that it should have passed and has not."""
        due = [stage for stage in STAGES if stage not in TARGETS or (self.kind == "net" and not self.sizes_unknown)]
        return next((stage for stage in due if stage not in self.passed), None)


def travel(path: Path, *, build: bool = True) -> Journey:
    """Take one file as far as it goes."""
    journey = Journey(path)
    try:
        source = read_source(path)
    except NetdefError as failure:
        journey.diagnostics = failure.diagnostics
        return journey
    parsed = parse(source)
    journey.kind, journey.diagnostics = kind_of(parsed.document), parsed.diagnostics
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
    journey.sizes_unknown = not all(_sized(graph) for graph in journey.graphs)
    if build and journey.graphs and not journey.sizes_unknown:
        _lower(journey)
    return journey


def _sized(graph: Graph) -> bool:
    """Whether every blob's rank, and every size but the first, follows from the file alone."""
    shapes = [*(b.shape for b in graph.blobs.values()), *(p.spec.shape for p in graph.params.values())]
    return all(shape.ranked and None not in shape.sizes[1:] for shape in shapes)


def _lower(journey: Journey) -> None:
    """Build the net in torch and emit it as ONNX, without weights: what shapes and rules alone can show."""
    from netdef.targets.onnx import COMMON_OPSET, emit
    from netdef.targets.torch import build_module

    try:
        for graph in journey.graphs:
            build_module(graph, device="meta")
        journey.passed.append("built")
        for graph in journey.graphs:
            net = deploy(graph)
            emit(net, {id: _zeros(p.spec.shape.known_sizes()) for id, p in net.params.items()}, opset=COMMON_OPSET)
        journey.passed.append("exported")
    except NetdefError as failure:
        journey.diagnostics = failure.diagnostics


def _zeros(sizes: Sequence[int]) -> np.ndarray:
    return np.zeros(sizes, np.float32)


def files(folder: Path) -> Iterator[Path]:
    """Every prototxt below a folder, also those that end in .pt as Fast R-CNN's do."""
    found = [*folder.rglob("*.prototxt"), *folder.rglob("*.pt")]
    yield from sorted(path for path in found if path.is_file() and not _is_binary(path))


def _is_binary(path: Path) -> bool:
    with path.open("rb") as stream:
        return b"\0" in stream.read(1 << 12)


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--list", "listed", is_flag=True, help="Say of every file that is stopped where and why.")
@click.option("--no-build", is_flag=True, help="Stop after the check.")
def main(folder: Path, listed: bool, no_build: bool) -> None:
    """Print how many files pass each stage, and what stops the others."""
    journeys = []
    for path in files(folder):
        journeys.append(travel(path, build=not no_build))
        if listed and (stage := journeys[-1].stopped_at):
            _tell(journeys[-1], stage, folder)
    _print_funnel(journeys)


def _tell(journey: Journey, stage: str, folder: Path) -> None:
    click.echo(f"{journey.path.relative_to(folder)}: not {stage}")
    messages = Counter(f"{d.code} {d.message}" for d in journey.errors)
    for message, count in messages.items():
        click.echo(f"    {message}" + (f" ({count} times)" if count > 1 else ""))


def _print_funnel(journeys: list[Journey]) -> None:
    nets = [journey for journey in journeys if journey.kind == "net"]
    click.echo(f"{len(journeys)} files: {len(nets)} nets, {len(journeys) - len(nets)} solvers")
    for stage in STAGES:
        of = nets if stage in TARGETS else journeys
        due = sum("checked" in j.passed and not j.sizes_unknown for j in of) if stage in TARGETS else len(of)
        click.echo(f"  {stage:9} {sum(stage in j.passed for j in of):4} of {due}")
    unsized = sum(j.sizes_unknown for j in nets)
    click.echo(f"not built: {unsized} nets whose sizes only their databases, or code of theirs, would tell")
    click.echo(f"warned: {sum(bool(j.diagnostics) and not j.errors for j in journeys)} files")
    codes = Counter(code for j in journeys for code in {d.code for d in j.errors})
    click.echo("files by what stops them: " + (", ".join(f"{c} {n}" for c, n in codes.most_common()) or "nothing"))
    known = registry()
    foreign = Counter(
        d.message.split('"')[1] for j in journeys for d in j.errors if d.code == "ND0301" and '"' in d.message
    )
    click.echo("foreign types: " + ", ".join(f"{t} {n}" for t, n in foreign.most_common() if t not in known))


if __name__ == "__main__":
    sys.exit(main())
