"""`netdef fold`: a net and its weights with BatchNorm, Scale and Bias folded into the layers around them."""

from __future__ import annotations

import click

from netdef.cli.export import listed
from netdef.cli.options import net_options, probing, strict_option, weights_option
from netdef.cli.report import show
from netdef.cli.status import status
from netdef.cli.writing import Writing
from netdef.graph import Options
from netdef.graph.load import load_written


@click.command("fold", cls=Writing)
@click.argument("net")
@weights_option("Weight files: `a,b`, or repeated.", required=True)
@strict_option
@click.option("--output", "-o", nargs=2, required=True, metavar="PROTOTXT WEIGHTS", help="The two files to write.")
@net_options("TEST")
@click.option("--seed", default=0, help="Seed of the random input.", show_default=True)
def command(
    net: str,
    weights: list[str],
    strict: bool,
    output: tuple[str, str],
    options: Options,
    seed: int,
) -> None:
    """Write NET's deploy form and its weights in fewer layers that compute the same.

    BatchNorm, Scale and Bias are merged into the convolutions and inner products around them, blobs that depend on no
    input are computed once, and Dropout and other layers that do nothing in a deployed net are dropped. Both nets are
    run on random input, and every blob that is left is compared.
    """
    from netdef.deploy.folding import fold_files

    graph, messages = load_written(net, probing(options, net))
    with status() as step:
        report = fold_files(
            graph,
            messages,
            weights,
            prototxt_path=output[0],
            weights_path=output[1],
            strict=strict,
            seed=seed,
            step=step,
        )
    show(report.warnings)
    before, after = report.layers
    click.echo(f"{' and '.join(output)}: {after} layers of {before}")
    if report.removed:
        click.echo(f"folded: {listed(report.removed)}")
    click.echo(f'largest difference: {report.worst.max_rel:.2e} of the largest value, at blob "{report.worst.name}"')
