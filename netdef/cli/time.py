"""`netdef time`: how long each layer takes, forward and backward, as a table or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click

from netdef.cli.gpus import gpu_number
from netdef.cli.options import net_options
from netdef.cli.report import show
from netdef.cli.status import status
from netdef.cli.tables import print_table, table
from netdef.diagnostics.words import counted
from netdef.graph import Options
from netdef.report.subject import Subject, read_subject
from netdef.report.timing import LayerTime, Timing, time_net
from netdef.solver import device as devices
from netdef.solver.style import Style

_DEFAULT_ITERATIONS = 50
"""As in Caffe."""


@click.command("time")
@click.argument("file", metavar="NET|SOLVER", required=False, type=click.Path(readable=False))
@click.option("--model", "-model", "named", type=click.Path(readable=False), help="NET, in Caffe's spelling.")
@click.option(
    "--iterations",
    "-iterations",
    type=click.IntRange(1),
    default=_DEFAULT_ITERATIONS,
    show_default=True,
    help="Rounds.",
)
@click.option("--gpu", "-gpu", help="The number of a GPU. Default: the processor, or what the solver says.")
@net_options("TRAIN")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(
    file: str | None,
    named: str | None,
    iterations: int,
    gpu: str | None,
    options: Options,
    form: str,
) -> None:
    """Time each layer of NET, or of the net that SOLVER trains, forward and backward.

    Data come from the net's own databases; without these they are random, and --shape gives their sizes. Times are
    medians over the rounds. A solver's `precision` and `channels_last` apply.
    """
    path = file or named
    if path is None:
        raise click.UsageError("Missing argument 'NET|SOLVER'.")
    subject = read_subject(path, options)
    show(subject.warnings)
    timing = _time(subject, iterations, gpu_number(gpu))
    if form == "json":
        click.echo(json.dumps(timing.as_json(), indent=2))
    else:
        _print(timing)


def _time(subject: Subject, iterations: int, gpu: int | None) -> Timing:
    device, note = devices.choose(subject.config, gpu)
    if note:
        click.echo(note.replace("training", "timing"), err=True)
    style = Style.of(subject.config, device)
    with ExitStack() as afterwards:
        afterwards.callback(devices.set_up(subject.config, device))
        tell = afterwards.enter_context(status())
        return time_net(subject.graph, style, iterations=iterations, base_dir=Path(subject.path).parent, tell=tell)


def _print(timing: Timing) -> None:
    numbers = ("forward\nms", "backward\nms", "share\n%", "\nGFLOP/s", "\nGB/s")
    made = table(timing.net or "net", ("layer", "type"), numbers)
    for row in timing.layers:
        made.add_row(*_cells(row))
    made.add_section()
    made.add_row("all layers", "", _ms(timing.sum_forward_ms), _ms(timing.sum_backward_ms), "100.0")
    rate = _giga(timing.flops_per_s)
    made.add_row("in one go", "", _ms(timing.forward_ms), _ms(timing.backward_ms or None), "", rate)
    print_table(made)
    for line in _notes(timing):
        click.echo(line)


def _notes(timing: Timing) -> Iterator[str]:
    layout = ", channels last" if timing.channels_last else ""
    threads = f", {counted(timing.threads, 'thread')}" if timing.device == "cpu" else ""
    rounds = f"median of {timing.iterations} rounds" if timing.iterations > 1 else "a single round"
    yield f"phase {timing.phase} on {timing.device}{threads}, {timing.precision}{layout}; {rounds}"
    if timing.random_inputs:
        yield f"random data: {', '.join(timing.random_inputs)}"


def _cells(row: LayerTime) -> tuple[str, ...]:
    backward = _ms(row.backward.ms if row.backward else None)
    share = f"{100 * row.share:.1f}"
    return row.layer, row.type, _ms(row.forward.ms), backward, share, _giga(row.flops_per_s), _giga(row.bytes_per_s)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _giga(rate: float | None) -> str:
    return "" if rate is None else f"{rate / 1e9:,.1f}"
