"""`netdef deploy-net`: the prototxt to deploy, from the one that trains."""

from __future__ import annotations

import click

from netdef.cli.options import net_options, probing
from netdef.cli.writing import Writing
from netdef.files import write_atomic
from netdef.graph import Options
from netdef.graph.deploy import demand_work, deploy, removed
from netdef.graph.load import load_written
from netdef.graph.prototxt import prototxt
from netdef.graph.sizes import demand_sizes


@click.command("deploy-net", cls=Writing)
@click.argument("net")
@click.option("--output", "-o", help="Where to write; standard output by default.")
@net_options("TEST")
def command(
    net: str,
    output: str | None,
    options: Options,
) -> None:
    """Print the deploy prototxt of NET, which trains and tests.

    Data layers become inputs, losses their predictions; labels, metrics and what only training needs go, and are
    listed on standard error.
    """
    graph, messages = load_written(net, probing(options, net))
    deployed = demand_sizes(demand_work(deploy(graph)))
    text = prototxt(deployed, messages)
    gone = removed(graph, deployed)
    if gone:
        click.echo(f"left out: {', '.join(node.id for node in gone)}", err=True)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_atomic(output, text)
