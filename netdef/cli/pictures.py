"""What `netdef predict` and `netdef features` share: which net, which images, how they are prepared."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from netdef.cli.options import net_options, probing, strict_option, weights_option
from netdef.cli.report import show
from netdef.data.faults import BadData, as_error, reported
from netdef.diagnostics import NetdefError, error
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.ir import Graph, Shape

if TYPE_CHECKING:
    from netdef.deploy.pictures import Preparation, Recipe
    from netdef.deploy.predict import Row
    from netdef.deploy.runner import Runner

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options common to both commands say.

    Attributes:
        net: a prototxt or an ONNX file.
        images: files, folders, ``-``.
        weights: weight files.
        strict: whether net and files must have the same layers.
        options: which net of the prototxt.
        mean, scale, channel_order, resize: what differs from the net's own `transform_param`; None where nothing does.
        batch: images that go through the net together.
        backend: what runs a prototxt.
    """

    net: str
    images: tuple[str, ...]
    weights: list[str]
    strict: bool
    options: Options
    mean: str | None
    scale: float | None
    channel_order: Literal["BGR", "RGB"] | None
    resize: tuple[int, int] | None
    batch: int
    backend: Literal["onnx", "torch"] | None

    @property
    def is_onnx(self) -> bool:
        """Whether the net is an ONNX file."""
        return Path(self.net).suffix.lower() == ".onnx"


class SizeType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks alone
    """``HxW``, or ``N`` for a square."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Height and width, from 1 to 65535."""
        if isinstance(value, tuple):
            return cast(tuple[int, int], value)
        parts = value.lower().split("x")
        if len(parts) > 2 or not all(p.isascii() and p.isdecimal() and 0 < int(p) < 2**16 for p in parts):
            self.fail(f"{value!r} is neither HxW nor one number", param, ctx)
        return int(parts[0]), int(parts[-1])


def picture_options(function: _F) -> _F:
    """Add the options of `Asked`, which the command gets as one `asked`."""

    def command(**options: Any) -> Any:
        """Gather the common options; the rest are the command's own."""
        return function(Asked(**{name: options.pop(name) for name in Asked.__slots__}), **options)

    command.__doc__ = function.__doc__
    for option in reversed(_OPTIONS):
        command = option(command)
    return cast(_F, command)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("net", type=click.Path(readable=False)),
    click.argument("images", nargs=-1, required=True),
    weights_option(),
    strict_option,
    click.option("--mean", metavar="V[,V,V]|FILE", help="Values in the net's order of channels, .binaryproto or .npy."),
    click.option("--scale", type=float, help="Factor after the mean is subtracted."),
    click.option(
        "--channel-order",
        type=click.Choice(["BGR", "RGB"], case_sensitive=False),
        help="Of the net's input; BGR, as Caffe's, by default.",
    ),
    click.option(
        "--resize", type=SizeType(), help="Resize images to this, then cut the net's input out of the middle."
    ),
    click.option("--batch", type=click.IntRange(1, 2**16), default=32, show_default=True, help="Images at a time."),
    click.option("--backend", type=click.Choice(["onnx", "torch"]), help="What runs a prototxt; onnx by default."),
    net_options("TEST"),
)


def open_runner(asked: Asked, blobs: Sequence[str], crops: Literal[1, 10] = 1) -> tuple[Runner, Preparation]:
    """The net ready to run, and the way images take into it."""
    from netdef.deploy.around import told
    from netdef.deploy.pictures import Preparation, recipe_of
    from netdef.deploy.runner import open_net, open_onnx

    if asked.is_onnx:
        _refuse_net_options(asked)
        recipe = _recipe(asked, told(Path(asked.net)).recipe, crops)
        runner = open_onnx(asked.net, blobs)
    else:
        options = probing(asked.options, asked.net)
        graph = load(asked.net, options)
        with reported():
            recipe = _recipe(asked, recipe_of(graph, Path(asked.net).parent), crops)
        graph = load(asked.net, replace(options, shapes={**_missing_sizes(graph, recipe), **options.shapes}))
        runner = open_net(graph, asked.weights, blobs, asked.backend or "onnx", strict=asked.strict)
    show(runner.warnings)
    if runner.takes_bytes and (recipe.mean is not None or recipe.scale != 1.0):
        message = f"{asked.net} takes pixels from 0 to 255 as they are, so that no mean or scale can come before it"
        raise NetdefError([error("ND0953", message)])
    with reported():
        return runner, Preparation(recipe, runner.sizes)


def _refuse_net_options(asked: Asked) -> None:
    for given, option in ((asked.weights, "--weights"), (asked.strict, "--strict")):
        if given:
            raise click.UsageError(f"an ONNX file has its weights in itself; {option} goes with a prototxt")
    if asked.backend == "torch":
        raise click.UsageError("torch cannot run an ONNX file; --backend torch goes with a prototxt")


def _recipe(asked: Asked, base: Recipe | None, crops: Literal[1, 10]) -> Recipe:
    from netdef.deploy.pictures import Recipe

    return adapted(replace(base or Recipe(), crops=crops), asked.mean, asked.scale, asked.channel_order, asked.resize)


def adapted(
    recipe: Recipe, mean: str | None, scale: float | None, order: str | None, resize: tuple[int, int] | None
) -> Recipe:
    """The recipe with what the options of that name say otherwise; None where they say nothing."""
    read = None if mean is None else read_mean(mean)
    said: dict[str, Any] = {"mean": read, "scale": scale, "order": order, "resize": resize}
    return replace(recipe, **{name: value for name, value in said.items() if value is not None})


def read_mean(text: str) -> Any:
    """The mean that `--mean` gives: values for the channels, or a file."""
    from netdef.data.paths import locate
    from netdef.deploy.pictures import load_mean, mean_values

    try:
        return mean_values([float(value) for value in text.split(",")])
    except ValueError:
        with reported():
            return load_mean(locate(text, None, "mean file"))


def _missing_sizes(graph: Graph, recipe: Recipe) -> dict[str, Shape]:
    """Sizes of the input that a database would tell, where the recipe tells them too."""
    inputs = deploy(graph).inputs
    if len(inputs) != 1 or inputs[0].shape.known or not inputs[0].shape.ranked or inputs[0].shape.rank != 4:
        return {}
    (blob,) = inputs
    batch, channels, *size = blob.shape.sizes
    from_mean = recipe.mean.shape[0] if recipe.mean is not None and recipe.mean.shape[0] > 1 else None
    found = [a or b for a, b in zip(size, recipe.resize or (None, None), strict=True)]
    return {blob.name: Shape.of(batch or 1, channels or from_mean, *found)}


def find(images: Iterable[str]) -> list[Path]:
    """All image files that are meant; ``-`` stands for the lines of standard input."""
    from netdef.deploy.pictures import find_images

    names = [name for given in images for name in (_lines() if given == "-" else [given])]
    if not names:
        raise NetdefError([error("ND0955", "the list on standard input is empty")])
    with reported():
        return find_images(names)


def _lines() -> list[str]:
    """As bytes, since names of files need not be text."""
    return [os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer if line.strip()]


def shown(path: Path) -> str:
    """A path as text that every stream can show."""
    return os.fsencode(path).decode("utf-8", "replace")


def good_rows(
    rows: Iterable[tuple[Path, Row | BadData]], tick: Callable[[int], None], bad: list[Path]
) -> Iterator[tuple[Path, Row]]:
    """The images that are some; a diagnostic for each other one, which is noted in `bad`."""
    for path, row in rows:
        tick(1)
        if isinstance(row, BadData):
            bad.append(path)
            show(as_error(row).diagnostics)
        else:
            yield path, row


def finish(runner: Runner, started: float, num_images: int, bad: Sequence[Path]) -> None:
    """Tell the speed, and end with 1 where a file was no image."""
    elapsed_s = perf_counter() - started
    speed = f"{num_images / elapsed_s:,.1f} images/s" if num_images else "nothing done"
    click.echo(
        f"{num_images:,} image{'' if num_images == 1 else 's'} in {elapsed_s:.2f} s: {speed}, {runner.engine}", err=True
    )
    if bad:
        click.get_current_context().exit(1)
