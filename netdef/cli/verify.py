"""`netdef verify`: prove again that an ONNX file computes what its net computes."""

from __future__ import annotations

import json

import click

from netdef.cli.export import load_graph, print_proof, progress, split
from netdef.cli.options import shape_option, state_options
from netdef.ir import Shape


@click.command()
@click.argument("model")
@click.argument("net")
@click.option("--weights", "-w", multiple=True, required=True, help="Weight files: `a,b`, or repeated.")
@state_options
@shape_option
@click.option("--reference", is_flag=True, help="Use onnx's reference evaluator in the place of ONNX Runtime.")
@click.option("--seed", default=0, help="Seed of the random input.", show_default=True)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Output.")
def command(
    model: str,
    net: str,
    weights: tuple[str, ...],
    phase: str | None,
    level: int,
    stages: tuple[str, ...],
    shapes: tuple[tuple[str, Shape], ...],
    reference: bool,
    seed: int,
    format_: str,
) -> None:
    """Run the ONNX file MODEL against NET in torch, blob by blob, on random input."""
    from netdef.deploy import replay

    graph = load_graph(net, phase, level, stages, shapes)
    with progress() as step:
        proof = replay(model, graph, weights=split(weights), reference=reference, seed=seed, step=step)
    if format_ == "json":
        click.echo(json.dumps({"model": model, **proof.as_json()}, indent=1))
    else:
        print_proof(proof)
