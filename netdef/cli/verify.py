"""`netdef verify`: prove again that an ONNX file computes what its net computes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from netdef.cli.export import load_graph, print_proof, progress, split
from netdef.cli.options import reference_option, shape_option, state_options, strict_option
from netdef.cli.report import show
from netdef.graph.deploy import deploy
from netdef.ir import Graph, Shape

Shapes = tuple[tuple[str, Shape], ...]


@click.command()
@click.argument("model")
@click.argument("net", required=False)
@click.option("--weights", "-w", multiple=True, help="Weight files of NET: `a,b`, or repeated.")
@strict_option
@state_options
@shape_option
@reference_option
@click.option("--seed", default=0, help="Seed of the random input.", show_default=True)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Output.")
def command(
    model: str,
    net: str | None,
    weights: tuple[str, ...],
    strict: bool,
    phase: str | None,
    level: int,
    stages: tuple[str, ...],
    shapes: Shapes,
    reference: bool | None,
    seed: int,
    format_: str,
) -> None:
    """Run the ONNX file MODEL against NET in torch, blob by blob, on random input.

    Without NET the model's metadata tell what it was made from: files of that name and content are looked for beside
    it and in the working folder. Where there are none, or another tool wrote the model, ONNX Runtime and onnx's own
    evaluator are compared.
    """
    if bool(net) != bool(weights):
        raise click.UsageError("NET and --weights go together; without both the model tells what it was made from")
    from netdef.deploy import replay
    from netdef.deploy.examine import examine
    from netdef.deploy.replay import read_model

    def load(net: str, known: Shapes) -> Graph:
        return load_graph(net, phase, level, stages, known)

    with progress() as step:
        made_from = (load(net, shapes), split(weights)) if net else _origin(model, shapes, load)
        if made_from:
            graph, files = made_from
            proof = replay(model, graph, weights=files, strict=strict, reference=reference, seed=seed, step=step)
        else:
            proof = examine(read_model(model), dict(shapes), seed=seed, step=step)
    if format_ == "json":
        click.echo(json.dumps({"model": model, **proof.as_json()}, indent=1))
    else:
        print_proof(proof)


def _origin(model: str, shapes: Shapes, load: Callable[[str, Shapes], Graph]) -> tuple[Graph, Sequence[Path]] | None:
    """The net and the weight files that a model was made from; None, and a warning, where they are not to be had."""
    from netdef.deploy.export import interface
    from netdef.deploy.origin import find_origin
    from netdef.deploy.replay import read_model

    proto = read_model(model)
    origin = find_origin(proto, Path(model))
    show(origin.warnings())
    if not origin.net or not origin.complete:
        return None
    graph = load(str(origin.net), shapes)
    open_inputs = [blob.name for blob in deploy(graph).inputs if not blob.shape.known]
    dims = interface(proto.graph.input)
    told = tuple((name, _behind_the_batch(dims[name])) for name in open_inputs if name in dims)
    return (load(str(origin.net), (*told, *shapes)) if told else graph), origin.weights


def _behind_the_batch(dims: tuple[int | str, ...]) -> Shape:
    return Shape((None, *(size if isinstance(size, int) else None for size in dims[1:])))
