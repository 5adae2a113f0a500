"""Options that several commands take: which net of a file, and sizes that its databases would tell."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, TypeVar, cast

import click

from netdef.graph.draft import Options, Probe
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


def state_options(function: _F) -> _F:
    """Add `--phase`, `--level` and `--stage`, Caffe's NetState."""
    decorated = click.option("--stage", "stages", multiple=True, help="A stage that the net is in; may be repeated.")(
        function
    )
    decorated = click.option("--level", default=0, help="The net's level.", show_default=True)(decorated)
    phase = click.Choice(["TRAIN", "TEST"], case_sensitive=False)
    return click.option("--phase", type=phase, help="The net's phase.")(decorated)


def shape_option(function: _F) -> _F:
    """Add `--shape`, for sizes that only a database would tell."""
    help = "A blob's shape, where its database is not there: data=64x3x227x227; may be repeated."
    return click.option("--shape", "shapes", metavar="BLOB=NxCxHxW", callback=_parse_shapes, multiple=True, help=help)(
        function
    )


strict_option = click.option("--strict", is_flag=True, help="Refuse weights unless net and files have the same layers.")


reference_option = click.option(
    "--reference/--no-reference",
    default=None,
    help="Prove it with onnx's reference evaluator too; by default where that takes some seconds at most.",
)


def net_options(
    phase: str | None,
    level: int,
    stages: tuple[str, ...],
    shapes: tuple[tuple[str, Shape], ...] = (),
    probe: Probe | None = None,
    path: str | None = None,
) -> Options:
    """What the options of the command line ask for; `--stage a,b` counts as two."""
    split = tuple(stage for written in stages for stage in written.split(",") if stage)
    return Options(cast(Phase | None, phase), level, split, dict(shapes), probe, path)
