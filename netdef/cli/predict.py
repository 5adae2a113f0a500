"""`netdef predict`: what images show, by a net or an ONNX file."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import click

from netdef.cli.pictures import Asked, find, finish, good_rows, open_runner, picture_options, shown
from netdef.cli.status import ticking

if TYPE_CHECKING:
    from netdef.deploy.predict import Guess


@click.command("predict")
@click.option("--labels", type=click.Path(readable=False), help="A file with the name of each class, one a line.")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes to show for an image.")
@click.option("--crops", type=click.Choice(["1", "10"]), default="1", help="10: the mean over corners and mirrors.")
@click.option("--blob", help="The output with the scores, where there are several.")
@click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
@picture_options
def command(asked: Asked, labels: str | None, top: int, crops: str, blob: str | None, form: str) -> None:
    """Print the most likely classes of IMAGES by NET, a prototxt with --weights or an ONNX file.

    IMAGES are files, folders, or - for a list on standard input. Mean, scale and sizes are those of the data layer
    if NET is the net that was trained, or those that `netdef export --preprocess` put into the model; options override
    them.
    """
    from netdef.deploy.around import told
    from netdef.deploy.predict import best, read_labels, rows, scores_of

    names = read_labels(Path(labels)) if labels else told(Path(asked.net)).labels if asked.is_onnx else ()
    paths = find(asked.images)
    ten: Literal[1, 10] = 10 if crops == "10" else 1
    runner, preparation = open_runner(asked, [blob] if blob else [], ten)
    scores, bad = scores_of(runner), list[Path]()
    started = perf_counter()
    with ticking("images", len(paths)) as tick:
        found = good_rows(rows(runner, preparation, paths, batch=asked.batch), tick, bad)
        _WRITERS[form]((path, best(row[scores], names, top)) for path, row in found)
    finish(runner, started, len(paths) - len(bad), bad)


Found = Iterable[tuple[Path, "tuple[Guess, ...]"]]


def _text(found: Found) -> None:
    for path, guesses in found:
        click.echo(shown(path))
        for guess in guesses:
            click.echo(f"  {guess.score:>8.4f}  {guess.index:>5}  {guess.label}".rstrip())


def _json(found: Found) -> None:
    """One array, an image a line, so that a program can read while the next are computed."""
    separator = "["
    for path, guesses in found:
        classes = [{"class": guess.index, "label": guess.label, "score": guess.score} for guess in guesses]
        click.echo(separator + "\n" + json.dumps({"image": shown(path), "predictions": classes}), nl=False)
        separator = ","
    click.echo("[]" if separator == "[" else "\n]")


def _csv(found: Found) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "rank", "class", "label", "score"])
    for path, guesses in found:
        for place, guess in enumerate(guesses, 1):
            writer.writerow([shown(path), place, guess.index, guess.label, f"{guess.score:.9g}"])


_WRITERS = {"text": _text, "json": _json, "csv": _csv}
