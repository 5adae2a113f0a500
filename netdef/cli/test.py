"""`netdef test`: score a net on its test data, as means over batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from netdef.cli.confusion import table
from netdef.cli.gpus import gpu_number
from netdef.cli.options import split, strict_option
from netdef.cli.report import show
from netdef.diagnostics import NetdefError, error
from netdef.schema.kind import kind_of
from netdef.schema.read import read_source
from netdef.solver.events import Output, numbered
from netdef.solver.log import MOST_VALUES, values
from netdef.solver.nets import read_config
from netdef.solver.scoring import Result, Scoring, of_net
from netdef.text import parse

_DEFAULT_ITERATIONS = 50
"""Batches of a test where nothing says how many, as in Caffe."""


@click.command("test")
@click.argument("file", metavar="NET", required=False, type=click.Path(readable=False))
@click.option("--model", "-model", "named", type=click.Path(readable=False), help="NET, in Caffe's spelling.")
@click.option("--weights", "-weights", multiple=True, help="Trained weights: a file, or several with commas.")
@strict_option
@click.option("--iterations", "-iterations", type=click.IntRange(1), help="Batches. Default: the solver's, or 50.")
@click.option("--gpu", "-gpu", help="The number of a GPU. Default: the processor, or what the solver says.")
@click.option("--level", "-level", type=int, default=0, help="Level of the net.")
@click.option("--stage", "-stage", "stages", multiple=True, help="A stage of the net; may be repeated.")
@click.option("--confusion", is_flag=True, help="Count which classes are taken for which; precision and recall.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    file: str | None,
    named: str | None,
    weights: tuple[str, ...],
    strict: bool,
    iterations: int | None,
    gpu: str | None,
    level: int,
    stages: tuple[str, ...],
    confusion: bool,
    form: str,
) -> None:
    """Score NET, or each test net of a solver file, on its own data, with the weights given.

    Each output is the mean of its batch means: choose iterations x batch size to cover the test set once.
    """
    path = file or named
    if path is None:
        raise click.UsageError("Missing argument 'NET'.")
    scorings = _scorings(path, iterations, level, split(stages))
    results = []
    for number, scoring in enumerate(scorings):
        if form == "text" and len(scorings) > 1:
            click.echo(f"Testing net (#{number})")
        results.append(_score(scoring, split(weights), gpu_number(gpu), form, confusion, strict))
    if form == "json":
        plain = [_plain(scoring, result) for scoring, result in zip(scorings, results, strict=True)]
        click.echo(json.dumps(plain, indent=1))


def _scorings(path: str, iterations: int | None, level: int, stages: Sequence[str]) -> list[Scoring]:
    """The nets to score: that of the file, or those that a solver tests."""
    if kind_of(parse(read_source(path)).document) == "net":
        return [of_net(path, iterations or _DEFAULT_ITERATIONS, level, tuple(stages))]
    config, warnings = read_config(path)
    show(warnings)
    if not config.tests:
        raise NetdefError([error("ND0707", f"{path} has no test net", help="give the net itself: netdef test NET")])
    choices = [replace(c, num_batches=iterations or c.num_batches) for c in config.tests]
    return [Scoring(choice, config) for choice in choices]


def _score(
    scoring: Scoring, weights: Sequence[str], device: int | None, form: str, confusion: bool, strict: bool
) -> Result:
    def tell(batch: int, outputs: tuple[Output, ...]) -> None:
        for index, name, value, _ in numbered(outputs):
            if index < MOST_VALUES:
                click.echo(f"Batch {batch}, {name} = {value:.6g}")

    each = tell if form == "text" else None
    result = scoring.run(weights, device=device, each=each, confusion=confusion, strict=strict)
    show(result.warnings)
    if form == "text":
        _tell_result(result)
    return result


def _tell_result(result: Result) -> None:
    click.echo(f"Loss: {result.score.loss:.6g}")
    for index, name, value, weight in numbered(result.score.outputs):
        loss = f" (* {weight:.6g} = {weight * value:.6g} loss)" if weight else ""
        if index < MOST_VALUES:
            click.echo(f"{name} = {value:.6g}{loss}")
    for found in result.confusions:
        for line in table(found):
            click.echo(line)


def _plain(scoring: Scoring, result: Result) -> dict[str, Any]:
    outputs = {output.name: values(output) for output in result.score.outputs}
    plain = {"net": scoring.name, "iterations": scoring.choice.num_batches, "loss": result.score.loss}
    confusions = {"confusion": [found.plain() for found in result.confusions]} if result.confusions else {}
    return {**plain, "outputs": outputs, **confusions}
