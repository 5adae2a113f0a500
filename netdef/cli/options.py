"""Which options do several commands take: the net that a file stands for, sizes that nobody else tells, weights?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from math import isfinite
from typing import Any, TypeVar, cast

import click

from netdef.data.probe import prober
from netdef.graph import Options
from netdef.ir import Phase, Shape

_F = TypeVar("_F", bound=Callable[..., Any])


def parse_shape(text: str) -> tuple[str, Shape]:
    """Read ``BLOB=NxCxHxW``, a ``?`` standing for a size that is not known."""
    name, _, sizes = text.rpartition("=")
    parts = sizes.replace(",", "x").split("x")
    if not name or not all(part == "?" or (part.isascii() and part.isdecimal()) for part in parts):
        raise click.BadParameter(f"{text!r} is not of the form data=64x3x227x227")
    return name, Shape(tuple(None if part == "?" else int(part) for part in parts))


def _parse_shapes(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, Shape], ...]:
    return tuple(map(parse_shape, texts))


class Positive(click.FloatRange):
    """A number above 0, neither infinite nor no number at all."""

    name = "positive number"

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See click."""
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def net_options(default: Phase | None = None) -> Callable[[_F], _F]:
    """Add `--phase`, `--level`, `--stage` (Caffe's NetState) and `--shape`; the command gets them as one `options`.

    `default` is the phase of a command that is not told one; None stands for what the net itself says.
    """

    def decorated(function: _F) -> _F:
        @wraps(function)
        def command(phase: Phase | None, level: int, stages: tuple[str, ...], shapes: Any, **others: Any) -> Any:
            options = Options(phase or default, level, tuple(split(stages)), dict(shapes))
            return function(options=options, **others)

        for option in reversed(_NET_OPTIONS):
            command = option(command)
        return cast(_F, command)

    return decorated


_NET_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), help="The net's phase."),
    click.option("--level", default=0, help="The net's level.", show_default=True),
    click.option("--stage", "stages", multiple=True, help="A stage that the net is in; may be repeated."),
    click.option(
        "--shape",
        "shapes",
        metavar="BLOB=NxCxHxW",
        callback=_parse_shapes,
        multiple=True,
        help="A blob's shape, where its database is not there: data=64x3x227x227; may be repeated.",
    ),
)


def probing(options: Options, net: str) -> Options:
    """The same options for the net file `net`: its data sources are asked for the sizes that they alone know."""
    return replace(options, probe=prober(net))


def weights_option(
    help: str = "Weight files: `a,b`, or repeated; a later one wins.", *, required: bool = False
) -> Callable[[_F], _F]:
    """Add `--weights`; the command gets a list of files."""

    def parsed(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> list[str]:
        return split(texts)

    return click.option("--weights", "-w", multiple=True, required=required, callback=parsed, help=help)


def split(texts: Iterable[str]) -> list[str]:
    """What an option holds that may be repeated, and may hold several parts with commas (Caffe's way)."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


strict_option = click.option("--strict", is_flag=True, help="Refuse weights unless net and files have the same layers.")


reference_option = click.option(
    "--reference/--no-reference",
    default=None,
    help="Prove it with onnx's reference evaluator too; by default where that takes some seconds at most.",
)
