"""`netdef plot`: loss, accuracy and learning rate of runs, as a picture."""

from __future__ import annotations

import click

from netdef.diagnostics.words import counted
from netdef.report.canvas import picture_format
from netdef.report.curves import draw_curves
from netdef.report.history import read_histories


@click.command("plot")
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=click.Path(readable=False))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False),
    default="curves.png",
    show_default=True,
    help="A .png, .svg or .pdf file.",
)
@click.option(
    "--smooth", type=click.IntRange(0), help="Displays on each side that a loss is averaged with; 0 for none."
)
@click.option("--title", default="", help="A line above the picture.")
def command(runs: tuple[str, ...], output: str, smooth: int | None, title: str) -> None:
    """Draw the loss, the test scores and the learning rate of each RUN.

    A RUN is a metrics.jsonl, a log of `netdef train` or `caffe train`, a folder with one of them, or the run's solver.
    Runs whose snapshots lie in one folder share its metrics.jsonl: each gets curves of its own, and a solver file
    means its own run alone.
    """
    picture_format(output)
    histories = read_histories(list(runs))
    draw_curves(histories, output, smooth=smooth, title=title)
    for history in histories:
        click.echo(f"{history.name}: {counted(len(history.loss), 'display')}, up to iteration {_last(history.loss)}")
    click.echo(f"drawn: {output}")


def _last(curve: dict[int, float]) -> int:
    return max(curve, default=0)
