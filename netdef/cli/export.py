"""`netdef export`: a net and its weights as an ONNX file that is proven equal."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from netdef.cli.around import AskedAround, around_of, around_options
from netdef.cli.options import net_options, probing, reference_option, strict_option, weights_option
from netdef.cli.report import show
from netdef.cli.status import status
from netdef.cli.writing import Writing
from netdef.graph import Options, load

if TYPE_CHECKING:
    from netdef.deploy import ExportReport, Proof

_TOP = 10
"""How many blobs the table of errors shows, and a list of layers."""


class BatchType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks alone
    """A batch size, or ``dynamic``."""

    name = "N|dynamic"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """A whole number from 1; None for ``dynamic``."""
        if value is None or isinstance(value, int):
            return value
        if value.lower() == "dynamic":
            return None
        if not (value.isascii() and value.isdecimal() and 0 < int(value) < 2**31):
            self.fail(f"{value!r} is neither a batch size nor `dynamic`", param, ctx)
        return int(value)


@click.command(cls=Writing)
@click.argument("net")
@weights_option()
@strict_option
@click.option("--output", "-o", required=True, help="The ONNX file to write.")
@click.option("--opset", type=int, help="Version of ONNX's operator set; the newest that is right.")
@click.option("--batch", type=BatchType(), help="Fix the batch size; `dynamic`, the default, leaves it free.")
@click.option(
    "--spatial",
    type=click.Choice(["fixed", "dynamic"]),
    default="fixed",
    help="`dynamic` leaves height and width of the images free.",
)
@net_options("TEST")
@around_options
@click.option("--fold/--no-fold", default=True, help="BatchNorm and Scale into the layers around them; on by default.")
@click.option("--verify/--no-verify", default=True, help="Compare every blob with torch's; on by default.")
@reference_option
@click.option("--seed", default=0, help="Seed of the random input.", show_default=True)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Output.")
def command(
    net: str,
    weights: list[str],
    strict: bool,
    output: str,
    opset: int | None,
    batch: int | None,
    spatial: str,
    options: Options,
    asked: AskedAround,
    fold: bool,
    verify: bool,
    reference: bool | None,
    seed: int,
    format_: str,
) -> None:
    """Write NET with its weights as an ONNX model.

    Losses become their predictions; labels and metrics are dropped. The model is run in ONNX Runtime on random input,
    and every blob is compared with torch's: if one is off by more than 1e-4 of its largest value (or by more than ten
    times torch's own rounding there, where that is larger), nothing is written.
    """
    start = time.perf_counter()
    from netdef.deploy import export

    graph = load(net, probing(options, net))
    with status() as step:
        report = export(
            graph,
            output,
            weights=weights,
            strict=strict,
            opset=opset,
            batch=batch,
            any_size=spatial == "dynamic",
            fold=fold,
            verify=verify,
            reference=reference,
            around=around_of(asked, graph, Path(net).parent),
            seed=seed,
            step=step,
        )
    show(report.warnings)
    elapsed_s = time.perf_counter() - start
    if format_ == "json":
        click.echo(json.dumps({**report.as_json(), "elapsed_s": round(elapsed_s, 3)}, indent=1))
    else:
        _print(report, elapsed_s)


def print_proof(proof: Proof) -> None:
    """The blobs with the largest errors as a table, and one line about all."""
    from netdef.deploy.verify import TOLERANCE

    console = Console() if sys.stdout.isatty() else Console(width=120)
    table = Table(box=None, header_style="bold")
    for name in ("blob", "layer", "shape"):
        table.add_column(name, overflow="fold")
    for name in ("largest difference", "relative"):
        table.add_column(name, justify="right")
    worst = sorted(proof.blobs, key=lambda blob: -blob.max_rel)[:_TOP]
    for blob in worst:
        shape = "x".join(map(str, blob.shape)) or "scalar"
        table.add_row(Text(blob.name), Text(blob.layer), shape, f"{blob.max_abs:.2e}", f"{blob.max_rel:.2e}")
    console.print(table)
    count = len(proof.blobs)
    shown = f"the {len(worst)} largest errors of {count} blobs" if count > len(worst) else f"all {count} blobs"
    sizes = " and ".join(map(str, proof.batch_sizes))
    sides = f"{proof.expected} against {proof.oracle}"
    if proof.image_sizes:
        sizes += ", images of " + " and ".join(f"{height}x{width}" for height, width in proof.image_sizes)
    click.echo(f"{shown}; {sides} at batch size {sizes}; relative to a blob's largest value")
    if proof.second_largest:
        worst_of = f'{proof.second_largest.max_rel:.2e} at blob "{proof.second_largest.name}"'
        click.echo(f"onnx's own evaluator agrees with {proof.expected} too, the largest relative error is {worst_of}")
    elif proof.second_left_out:
        click.echo(f"not compared with onnx's own evaluator: {proof.second_left_out}")
    if noisy := sum(blob.rounding > 0 and blob.max_rel > TOLERANCE for blob in proof.blobs):
        click.echo(f"{noisy} of them above {TOLERANCE:g}: there {proof.expected}'s own rounding is about as large")


def _print(report: ExportReport, elapsed_s: float) -> None:
    if report.removed:
        click.echo(f"left out: {', '.join(report.removed)}")
    if report.folded:
        click.echo(f"folded: {listed(report.folded)}")
    if report.proof.blobs:
        print_proof(report.proof)
    else:
        click.echo("not verified")
    if report.pixel_error is not None:
        click.echo(f"images are prepared as by `netdef predict`, within {report.pixel_error:.2g} grey levels")
    inputs, outputs = (_interface(side) for side in (report.inputs, report.outputs))
    click.echo(f"{report.path}: {inputs} -> {outputs}, opset {report.opset}, {_size(report)}, {elapsed_s:.1f} s")


def listed(names: tuple[str, ...]) -> str:
    """Names in a row, of many the first few and how many more."""
    more = f" and {len(names) - _TOP} more" if len(names) > _TOP else ""
    return ", ".join(names[:_TOP]) + more


def _interface(sides: dict[str, tuple[int | str, ...]]) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, dims)) or 'scalar'}" for name, dims in sides.items())


def _size(report: ExportReport) -> str:
    size = float(report.size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
