"""`netdef verify`: prove again that an ONNX file computes what its net computes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from netdef.cli.export import print_proof
from netdef.cli.options import net_options, probing, reference_option, strict_option, weights_option
from netdef.cli.report import show
from netdef.cli.status import status
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.ir import Graph, Shape


@click.command()
@click.argument("model")
@click.argument("net", required=False)
@weights_option("Weight files of NET: `a,b`, or repeated.")
@strict_option
@net_options("TEST")
@reference_option
@click.option("--seed", default=0, help="Seed of the random input.", show_default=True)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Output.")
def command(
    model: str,
    net: str | None,
    weights: list[str],
    strict: bool,
    options: Options,
    reference: bool | None,
    seed: int,
    format_: str,
) -> None:
    """Run the ONNX file MODEL against NET in torch, blob by blob, on random input.

    Without NET the model's metadata tell what it was made from, and files of that name and content are looked for
    beside it and in the working folder. If there are none, or if another tool wrote the model, ONNX Runtime is compared
    with onnx's own evaluator.
    """
    if bool(net) != bool(weights):
        raise click.UsageError("NET and --weights go together; without both the model tells what it was made from")
    from netdef.deploy import replay
    from netdef.deploy.examine import examine
    from netdef.deploy.replay import read_model

    with status() as step:
        made_from = (load(net, probing(options, net)), weights) if net else _origin(model, options)
        if made_from:
            graph, files = made_from
            proof = replay(model, graph, weights=files, strict=strict, reference=reference, seed=seed, step=step)
        else:
            proof = examine(read_model(model), options.shapes, seed=seed, step=step)
    if format_ == "json":
        click.echo(json.dumps({"model": model, **proof.as_json()}, indent=1))
    else:
        print_proof(proof)


def _origin(model: str, options: Options) -> tuple[Graph, Sequence[Path]] | None:
    """The net and the weight files that a model was made from; None, and a warning, where they are not to be had."""
    from netdef.deploy.export import interface
    from netdef.deploy.origin import find_origin
    from netdef.deploy.replay import read_model

    proto = read_model(model)
    origin = find_origin(proto, Path(model))
    show(origin.warnings())
    if not origin.net or not origin.complete:
        return None
    options = probing(options, str(origin.net))
    graph = load(origin.net, options)
    open_inputs = [blob.name for blob in deploy(graph).inputs if not blob.shape.known]
    dims = interface(proto.graph.input)
    told = {name: _behind_the_batch(dims[name]) for name in open_inputs if name in dims}
    if told:
        graph = load(origin.net, replace(options, shapes={**told, **options.shapes}))
    return graph, origin.weights


def _behind_the_batch(dims: tuple[int | str, ...]) -> Shape:
    return Shape((None, *(size if isinstance(size, int) else None for size in dims[1:])))
