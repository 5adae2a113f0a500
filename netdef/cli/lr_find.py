"""`netdef lr-find`: which learning rate suits the net of a solver? A range test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from netdef.cli.gpus import gpu_number
from netdef.cli.options import Positive, split, strict_option
from netdef.cli.report import show
from netdef.report.canvas import picture_format
from netdef.solver.nets import read_config
from netdef.solver.range_test import RangeTest, range_test

_RATE = Positive()


@click.command("lr-find")
@click.argument("solver", metavar="SOLVER", type=click.Path(readable=False))
@click.option("--from", "low", type=_RATE, default=1e-6, show_default=True, help="The first rate.")
@click.option("--to", "high", type=_RATE, default=1.0, show_default=True, help="The last rate.")
@click.option("--iterations", type=click.IntRange(10), default=100, show_default=True, help="How many.")
@click.option("--weights", multiple=True, help="Weights to begin from: a file, or several with commas.")
@strict_option
@click.option("--gpu", help="The number of a GPU. Default: what the solver says.")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Draw the curve: a .png, .svg or .pdf file.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    solver: str,
    low: float,
    high: float,
    iterations: int,
    weights: tuple[str, ...],
    strict: bool,
    gpu: str | None,
    output: str | None,
    form: str,
) -> None:
    """Try rising learning rates on the net of SOLVER, and suggest one.

    The net trains for a few iterations while the rate rises by the same factor each time, until the loss runs away.
    It begins as a run would, and no weights or snapshots are written.
    """
    if low >= high:
        raise click.UsageError(f"--from {low:g} must be below --to {high:g}")
    if output is not None:
        picture_format(output)
    config, warnings = read_config(solver)
    show(warnings)
    start = split(weights) or None
    device = gpu_number(gpu)
    tell = _progress if form == "text" else lambda iteration, rate, loss: None
    test = range_test(
        config, low=low, high=high, iterations=iterations, weights=start, strict=strict, device=device, tell=tell
    )
    if sys.stdout.isatty() and form == "text":
        click.echo("\r\033[K", nl=False)
    click.echo(json.dumps(test.as_json(), indent=2) if form == "json" else "\n".join(_lines(test)))
    if output is not None:
        _draw(test, output, solver)


def _progress(iteration: int, rate: float, loss: float) -> None:
    """One line that is written over on a terminal, a few lines elsewhere."""
    text = f"Iteration {iteration}, lr = {rate:.3g}, loss = {loss:.6g}"
    if sys.stdout.isatty():
        click.echo(f"\r\033[K{text}", nl=False)
    elif iteration % 10 == 0:
        click.echo(text)


def _lines(test: RangeTest) -> list[str]:
    last = test.points[-1]
    end = f"the loss ran away at {last.rate:.2g}" if test.diverged else f"no divergence up to {last.rate:.2g}"
    return [
        f"steepest descent at {test.steepest:.2g}, lowest loss at {test.lowest:.2g}, {end}",
        f"suggestion: base_lr: {test.suggestion:.2g}",
    ]


def _draw(test: RangeTest, output: str, solver: str) -> None:
    from netdef.report.range_picture import draw_range_test

    draw_range_test(test, output, f"Learning rate range test of {Path(solver).name}")
    click.echo(f"drawn: {output}", err=True)
