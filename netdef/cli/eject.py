"""`netdef eject`: a net as one PyTorch file that a person can read and go on with, its weights beside it."""

from __future__ import annotations

import click

from netdef.cli.options import net_options, probing, strict_option, weights_option
from netdef.cli.report import show
from netdef.cli.writing import Writing
from netdef.graph import Options, load


@click.command("eject", cls=Writing, beside=(".safetensors",))
@click.argument("net")
@weights_option()
@strict_option
@click.option("--output", "-o", required=True, help="The Python file to write.")
@click.option("--fold", is_flag=True, help="BatchNorm and Scale into the layers around them; takes --weights.")
@net_options("TEST")
def command(
    net: str,
    weights: list[str],
    strict: bool,
    output: str,
    fold: bool,
    options: Options,
) -> None:
    """Write NET as a PyTorch module in a file that imports nothing but torch.

    Without --fold it computes what netdef computes, bit for bit. The weights go beside it, as .safetensors. By
    default the net is written as it is deployed, with predictions in the place of losses; `--phase TRAIN` gives the
    one that trains.
    """
    if not output.endswith(".py"):
        raise click.UsageError(f"-o names the Python file to write, as model.py: found {output!r}")
    if fold and not weights:
        raise click.UsageError("--fold puts layers into weights: it takes --weights")
    from netdef.deploy.eject import eject

    graph = load(net, probing(options, net))
    ejected = eject(graph, output, weights, fold=fold, strict=strict)
    show(ejected.warnings)
    if ejected.removed:
        click.echo(f"left out: {', '.join(ejected.removed)}")
    beside = f", its weights in {ejected.weights}" if ejected.weights else "; give --weights for its weights"
    click.echo(f"{ejected.source}{beside}")
