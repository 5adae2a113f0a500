"""`netdef summary`: layers, shapes, parameters, work and memory of a net, as a table or JSON."""

from __future__ import annotations

import json

import click

from netdef.cli.options import net_options, probing
from netdef.graph import Options, load
from netdef.ir import Dim
from netdef.report.summary import Row, Summary, summarise

_THOUSAND = 1000


@click.command("summary")
@click.argument("net", type=click.Path(readable=False))
@net_options()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(net: str, options: Options, form: str) -> None:
    """Show what NET is made of: layers, shapes, parameters, multiply-adds and memory."""
    graph = load(net, probing(options, net))
    summary = summarise(graph)
    if form == "json":
        click.echo(json.dumps(summary.as_json(), indent=2))
    else:
        _print_table(summary)


def _print_table(summary: Summary) -> None:
    from netdef.cli.tables import print_table, table

    shown = table(
        f"{summary.net or 'net'} ({summary.phase})", ("layer", "type", "top", "shape"), ("parameters", "multiply-adds")
    )
    for row in summary.rows:
        shown.add_row(*_cells(row))
    shown.add_section()
    shown.add_row("total", "", "", "", _count(summary.cost.parameters), _count(summary.cost.multiply_adds))
    print_table(shown)
    for line in _totals(summary):
        click.echo(line)


def _cells(row: Row) -> tuple[str, ...]:
    parameters = f"as {row.shares}" if row.shares else _count(row.parameters, zero="")
    tops, shapes = "\n".join(row.tops), "\n".join(row.shapes)
    return row.layer, row.type, tops, shapes, parameters, _count(row.multiply_adds, zero="")


def _totals(summary: Summary) -> list[str]:
    lines = [
        f"activations of one forward pass: {size(summary.cost.activation_bytes)}",
        f"predicted memory of a training step with momentum: {size(summary.training_bytes)}",
    ]
    if summary.cost.statistics:
        lines.insert(0, f"statistics that BatchNorm keeps: {_count(summary.cost.statistics)}")
    if summary.cost.activation_bytes is None:
        lines.append("some sizes are unknown, since a database is not there; --shape data=64x3x227x227 supplies them")
    return lines


def _count(number: Dim, zero: str = "0") -> str:
    if number is None:
        return "?"
    return f"{number:,}" if number else zero


def size(number: Dim) -> str:
    """A number of bytes in a unit that a person reads at once."""
    if number is None:
        return "?"
    value, units = float(number), ["B", "kB", "MB", "GB", "TB"]
    while value >= _THOUSAND and len(units) > 1:
        value /= _THOUSAND
        units.pop(0)
    return f"{value:.3g} {units[0]}"
