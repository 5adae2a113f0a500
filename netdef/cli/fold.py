"""`netdef fold`: a net and its weights with BatchNorm, Scale and Bias folded into the layers around them."""

from __future__ import annotations

import click

from netdef.cli.export import listed, progress, split
from netdef.cli.options import net_options, shape_option, state_options, strict_option
from netdef.cli.report import show
from netdef.cli.writing import Writing
from netdef.data.probe import prober
from netdef.graph.load import load_written
from netdef.ir import Shape


@click.command("fold", cls=Writing)
@click.argument("net")
@click.option("--weights", "-w", multiple=True, required=True, help="Weight files: `a,b`, or repeated.")
@strict_option
@click.option("--output", "-o", nargs=2, required=True, metavar="PROTOTXT WEIGHTS", help="The two files to write.")
@state_options
@shape_option
@click.option("--seed", default=0, help="Seed of the random input.", show_default=True)
def command(
    net: str,
    weights: tuple[str, ...],
    strict: bool,
    output: tuple[str, str],
    phase: str | None,
    level: int,
    stages: tuple[str, ...],
    shapes: tuple[tuple[str, Shape], ...],
    seed: int,
) -> None:
    """Write NET, as it is deployed, and its weights in fewer layers that compute the same.

    BatchNorm, Scale and Bias go into the convolutions and inner products around them; what no input decides is
    computed; Dropout and other layers that do nothing in a deployed net go. Both nets are run on random input and every
    blob that is left compared.
    """
    from netdef.deploy.folding import fold_files

    graph, messages = load_written(net, net_options(phase or "TEST", level, stages, shapes, prober(net)))
    with progress() as step:
        report = fold_files(
            graph,
            messages,
            split(weights),
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
