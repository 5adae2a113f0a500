"""`netdef gradcheck`: is each layer's gradient right? Numeric against analytic, in float64."""

from __future__ import annotations

import json
import sys

import click

from netdef.cli.options import Positive, net_options
from netdef.cli.report import show
from netdef.cli.tables import print_table, table
from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.graph import Options
from netdef.report.gradcheck import Check, check_gradients
from netdef.report.subject import read_subject


@click.command("gradcheck")
@click.argument("net", metavar="NET|SOLVER", type=click.Path(readable=False))
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True, help="Rows at most.")
@click.option(
    "--samples", type=click.IntRange(0), default=8, show_default=True, help="Single values moved, per tensor."
)
@click.option("--tolerance", type=Positive(), default=1e-4, show_default=True, help="Relative.")
@click.option("--seed", default=0, show_default=True, help="Of the data, the weights and the directions.")
@net_options("TRAIN")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(
    net: str,
    batch: int,
    samples: int,
    tolerance: float,
    seed: int,
    options: Options,
    form: str,
) -> None:
    """Compare the gradient of every layer of NET with a numeric one, in float64 on random data.

    A layer may have a kink right where it is checked (a tie of a maximum, ReLU at 0): kinks are reported, but are no
    failures. The exit code is 1 if a gradient differs from the numeric one.
    """
    subject = read_subject(net, options)
    show(subject.warnings)
    found = []
    for check in check_gradients(subject.graph, batch=batch, samples=samples, tolerance=tolerance, seed=seed):
        found.append(check)
        if sys.stderr.isatty():
            click.echo(f"\r\033[K{check.layer}", nl=False, err=True)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    _report(found, form, tolerance)


def _report(found: list[Check], form: str, tolerance: float) -> None:
    bad = [check for check in found if check.verdict == "parts"]
    if form == "json":
        click.echo(json.dumps({"agrees": not bad, "checks": [check.as_json() for check in found]}, indent=2))
    else:
        _print(found)
    if bad:
        raise NetdefError([_parted(check, tolerance) for check in bad])


def _print(found: list[Check]) -> None:
    made = table("", ("layer", "type", "gradient of"), ("relative\nerror", "numeric", "analytic"))
    made.add_column("", vertical="bottom")
    for check in found:
        numbers = f"{check.error:.1e}", f"{check.numeric:.6g}", f"{check.analytic:.6g}"
        made.add_row(check.layer, check.type, check.tensor, *numbers, _remark(check))
    print_table(made)
    good = sum(check.verdict != "parts" for check in found)
    click.echo(f"{good} of {len(found)} gradients agree with numeric ones")


def _remark(check: Check) -> str:
    if check.verdict == "parts":
        return "PARTS"
    return f"ok, {check.kinks} of {check.directions} at a kink" if check.kinks else "ok"


def _parted(check: Check, tolerance: float) -> Diagnostic:
    message = (
        f'{check.type} "{check.layer}": the gradient of "{check.tensor}" is {check.analytic:.6g} by the layer and '
        f"{check.numeric:.6g} by differences, a relative error of {check.error:.1e} (allowed: {tolerance:.0e})"
    )
    return error(
        "ND0032", message, help="if the layer is of your own making, look at its backward pass; else it is a bug"
    )
