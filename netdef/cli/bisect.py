"""`netdef bisect`: the first layer where two back ends disagree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from netdef.cli.options import net_options, probing, strict_option, weights_option
from netdef.cli.report import show
from netdef.cli.status import status
from netdef.cli.tables import print_table, table
from netdef.diagnostics import NetdefError
from netdef.graph import Options
from netdef.graph.load import load_written

if TYPE_CHECKING:
    from netdef.deploy.bisect import Bisection

_BACKENDS = ("torch", "onnx", "opencv", "reference")


@click.command()
@click.argument("net")
@weights_option()
@strict_option
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(_BACKENDS),
    help="Two or more; the first is what the others are compared with. Without: torch, onnx, opencv.",
)
@click.option("--batch", type=click.IntRange(1, 2**16), help="Rows of the input; 1 by default.")
@net_options("TEST")
@click.option("--seed", default=0, help="Seed of the random input.", show_default=True)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Output.")
def command(
    net: str,
    weights: list[str],
    strict: bool,
    backends: tuple[str, ...],
    batch: int | None,
    options: Options,
    seed: int,
    format_: str,
) -> None:
    """Run NET's deploy form in several back ends on random input, and find the first layer where two disagree.

    The exit code is 1 if they disagree.
    """
    if backends and len(set(backends)) < 2:
        raise click.UsageError("one back end has nothing to be compared with; name two or more --backend")
    from netdef.deploy.bisect import DEFAULT_BACKENDS, bisect

    graph, messages = load_written(net, probing(options, net))
    chosen = backends or DEFAULT_BACKENDS
    with status() as step:
        found = bisect(graph, messages, weights, strict=strict, backends=chosen, batch=batch, seed=seed, step=step)
    show(found.warnings)
    if format_ == "json":
        click.echo(json.dumps({"net": net, **found.as_json()}, indent=1))
    else:
        _print(found)
    if verdict := found.verdict():
        raise NetdefError([verdict])


def _print(found: Bisection) -> None:
    """Every blob in the order of the net, with its relative error in each back end."""
    from netdef.deploy.bisect import TITLES
    from netdef.deploy.verify import allowed

    shown = table("", ("blob", "layer", "type", "shape"), [TITLES[name] for name in found.errors])
    by_name = {name: {blob.name: blob for blob in blobs} for name, blobs in found.errors.items()}
    for id, node in found.graph.producers.items():
        row = [blobs.get(id) for blobs in by_name.values()]
        if known := next((blob for blob in row if blob), None):
            marks = [
                "-" if not blob else f"{blob.max_rel:.1e}" + ("" if blob.max_rel <= allowed(blob) else " !")
                for blob in row
            ]
            shown.add_row(id, node.name, node.type, "x".join(map(str, known.shape)) or "scalar", *marks)
    print_table(shown)
    if not found.first:
        names = ", ".join(TITLES[name] for name in found.errors)
        click.echo(f"{names}: every blob as in {TITLES[found.base]}; relative to a blob's largest value")
