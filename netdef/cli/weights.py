"""`netdef weights`: what is in a weight file, where do two differ, and the same in another format."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from netdef.cli import report
from netdef.cli.writing import Writing
from netdef.weights import (
    Floats,
    read_blob,
    read_run_state,
    read_solverstate,
    read_weights,
    write_solverstate,
    write_weights,
)
from netdef.weights.blob import shape_text
from netdef.weights.caffemodel import four_axes
from netdef.weights.faults import wrong
from netdef.weights.model import LayerWeights, Weights
from netdef.weights.read import BLOB, RUN_STATE, STATE, kind_of
from netdef.weights.stats import distance, stats

_STATISTICS = ("mean", "std", "min", "max")
Row = dict[str, Any]


@click.group()
def command() -> None:
    """Look into weight files, compare them, convert them."""


_format = click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", help="Output.")


@command.command()
@click.argument("file")
@_format
def show(file: str, format_: str) -> None:
    """List the blobs of FILE with their shapes and statistics.

    FILE may be a .caffemodel, Caffe's HDF5, .safetensors, a .solverstate, the .runstate beside it (positions in
    the data, losses, what is watched, random generators) or a .binaryproto: its content counts, not its name.
    """
    head, rows = _content(file)
    if format_ == "json":
        click.echo(json.dumps(_plain({**head, "blobs": rows}), indent=1))
        return
    values = head.pop("values", {})
    click.echo("  ".join(f"{name}: {_cell(value)}" for name, value in head.items()))
    for name, value in values.items():
        click.echo(f"{_cell(name)}: {json.dumps(value)}")
    _print_table(rows)


@command.command()
@click.argument("a")
@click.argument("b")
@click.option("--atol", type=float, default=0.0, help="Allowed absolute difference.")
@click.option("--rtol", type=float, default=0.0, help="Allowed relative difference.")
@_format
@click.pass_context
def diff(context: click.Context, a: str, b: str, atol: float, rtol: float, format_: str) -> None:
    """Compare the weights of A and B blob by blob; exit with 1 when they differ.

    A blob differs when a number of it is further apart than both --atol and --rtol allow.
    """
    rows = [row for row in _differences(read_weights(a), read_weights(b)) if _beyond(row, atol, rtol)]
    if format_ == "json":
        click.echo(json.dumps(_plain({"a": a, "b": b, "differences": rows}), indent=1))
    elif rows:
        _print_table(rows)
    else:
        click.echo("no difference")
    if rows:
        context.exit(1)


@command.command(cls=Writing, outputs=("target",))
@click.argument("source")
@click.argument("target")
def convert(source: str, target: str) -> None:
    """Write the weights of SOURCE to TARGET, in the format of TARGET's extension.

    Weights: .caffemodel, .h5 (Caffe's HDF5), .safetensors. A solver state: .solverstate, .solverstate.h5.
    """
    if kind_of(source) == STATE:
        if not target.endswith((".solverstate", ".h5")):
            raise wrong("ND0616", target, "a solver state goes to .solverstate or .solverstate.h5")
        state = read_solverstate(source)
        write_solverstate(target, state, as_hdf5=target.endswith(".h5"))
        click.echo(f"{target}: solver state at iteration {state.iter}")
        return
    weights = read_weights(source)
    report.show(write_weights(target, weights.layers, net_name=weights.net_name))
    click.echo(f"{target}: {len(weights)} layers, {sum(map(len, weights.values()))} blobs")


def _content(file: str) -> tuple[Row, list[Row]]:
    """What heads the table, and its rows."""
    kind = kind_of(file)
    if kind == STATE:
        state = read_solverstate(file)
        head = {"kind": kind, "iter": state.iter, "current_step": state.current_step}
        rows = [_row("history", "", str(i), data) for i, data in enumerate(state.history)]
        return {**head, "learned_net": state.learned_net}, rows
    if kind == RUN_STATE:
        arrays, values = read_run_state(file)
        return {"kind": kind, "values": values}, [_row(name, "", "", data) for name, data in arrays.items()]
    if kind == BLOB:
        return {"kind": kind}, [_row("", "", "0", read_blob(file))]
    weights = read_weights(file)
    rows = [row for layer in weights.layers for row in _layer_rows(layer)]
    head = {"kind": kind, "format": weights.format, "net": weights.net_name, "layers": len(weights.layers)}
    return {**head, "parameters": sum(math.prod(row["shape"]) for row in rows)}, rows


def _layer_rows(layer: LayerWeights) -> Iterator[Row]:
    for key, data in zip(layer.blob_keys, layer.blobs, strict=True):
        yield _row(layer.name, layer.type, key, data)


def _row(layer: str, kind: str, blob: str, data: Any) -> Row:
    found = stats(data)
    row: Row = {"layer": layer, "type": kind, "blob": blob, "shape": list(data.shape), "dtype": str(data.dtype)}
    row |= {name: getattr(found, name) for name in _STATISTICS}
    return {**row, "nan": found.num_nan, "inf": found.num_inf}


def _differences(a: Weights, b: Weights) -> Iterator[Row]:
    for name in dict.fromkeys([*a, *b]):
        left, right = _blobs(a, name), _blobs(b, name)
        left, right = _as_there(left, right, a.layer(name)), _as_there(right, left, b.layer(name))
        for blob in dict.fromkeys([*left, *right]):
            row: Row = {"layer": name, "blob": blob}
            if blob not in left or blob not in right:
                yield row | {"difference": f"only in {a.path if blob in left else b.path}"}
            elif left[blob].shape != right[blob].shape:
                shapes = f"{shape_text(left[blob].shape)} and {shape_text(right[blob].shape)}"
                yield row | {"difference": f"shapes {shapes}"}
            else:
                found = distance(left[blob], right[blob])
                yield row | {"difference": "values", "max_abs": found.absolute, "max_rel": found.relative}


def _blobs(weights: Weights, name: str) -> dict[str, Floats]:
    """A layer's blobs by place, so that files that name them and files that number them compare."""
    layer = weights.layer(name)
    if layer is None:
        return {}
    places = layer.blob_keys if layer.keys_are_indices else tuple(map(str, range(len(layer.blobs))))
    return dict(zip(places, layer.blobs, strict=True))


def _as_there(here: dict[str, Floats], there: dict[str, Floats], layer: LayerWeights | None) -> dict[str, Floats]:
    """The blobs `here`, those of four old axes in the shape `there` where Caffe takes both for the same."""
    old = {str(index) for index in layer.legacy} if layer else set()
    like = {place: there[place].shape for place in old & here.keys() & there.keys()}
    fits = {place for place, shape in like.items() if four_axes(shape) == here[place].shape}
    return {place: data.reshape(like[place]) if place in fits else data for place, data in here.items()}


def _beyond(row: Row, atol: float, rtol: float) -> bool:
    return "max_abs" not in row or (row["max_abs"] > atol and row["max_rel"] > rtol)


def _plain(value: object) -> object:
    """`value` as strict JSON, which knows neither NaN nor infinity."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def _print_table(rows: list[Row]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    table = Table(box=None, header_style="bold")
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        numeric = any(isinstance(row.get(name), float | int) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[name]) if name in row else "") for name in names))
    console.print(table)


def _cell(value: object) -> str:
    match value:
        case float():
            return f"{value:.5g}"
        case list():
            return "x".join(map(str, value)) or "scalar"
        case _:
            return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))
