"""What of `netdef export` is put around the net: preparation of images, the best classes, labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from netdef.cli.pictures import SizeType, adapted
from netdef.data.faults import reported
from netdef.ir import Graph

if TYPE_CHECKING:
    from netdef.deploy.around import Around
    from netdef.deploy.pictures import Recipe

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class AskedAround:
    """What the options say; None where they say nothing."""

    preprocess: bool
    mean: str | None
    scale: float | None
    channel_order: Literal["BGR", "RGB"] | None
    resize: tuple[int, int] | None
    layout: Literal["NHWC", "NCHW"]
    top_k: int
    labels: str | None


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--preprocess", is_flag=True, help="Take uint8 RGB images: mean, scale and order go into the model."),
    click.option("--mean", metavar="V[,V,V]|FILE", help="Values in the net's order of channels, .binaryproto or .npy."),
    click.option("--scale", type=float, help="Factor after the mean is subtracted."),
    click.option(
        "--channel-order",
        type=click.Choice(["BGR", "RGB"], case_sensitive=False),
        help="Of the net's own input; BGR, as Caffe's, by default.",
    ),
    click.option("--resize", type=SizeType(), help="Take images of any size, resize to this, cut out the middle."),
    click.option(
        "--layout",
        type=click.Choice(["NHWC", "NCHW"], case_sensitive=False),
        default="NHWC",
        show_default=True,
        help="Of the images that the model takes.",
    ),
    click.option("--top-k", type=click.IntRange(0), default=0, help="Give the K best scores and their indices."),
    click.option("--labels", help="A file with a line for each class, to be kept in the metadata."),
)


def around_options(function: _F) -> _F:
    """Add the options of `AskedAround`, which the command gets as one `asked`."""

    @wraps(function)
    def command(**options: Any) -> Any:
        return function(asked=AskedAround(**{name: options.pop(name) for name in AskedAround.__slots__}), **options)

    for option in reversed(_OPTIONS):
        command = option(command)
    return cast(_F, command)


def around_of(asked: AskedAround, graph: Graph, base_dir: Path) -> Around:
    """What is to be put around a net; mean, scale and sizes are its data layer's where no option says otherwise."""
    from netdef.deploy.around import Around
    from netdef.deploy.predict import read_labels

    _refuse_idle(asked)
    labels = read_labels(Path(asked.labels)) if asked.labels else ()
    recipe = _recipe(asked, graph, base_dir) if asked.preprocess else None
    return Around(recipe, asked.layout, asked.top_k, labels)


def _refuse_idle(asked: AskedAround) -> None:
    given = {"--mean": asked.mean, "--scale": asked.scale, "--channel-order": asked.channel_order}
    idle = [name for name, value in {**given, "--resize": asked.resize}.items() if value is not None]
    if idle and not asked.preprocess:
        raise click.UsageError(f"{idle[0]} prepares images in the model: it goes with --preprocess")


def _recipe(asked: AskedAround, graph: Graph, base_dir: Path) -> Recipe:
    from netdef.deploy.pictures import recipe_of

    with reported():
        recipe = recipe_of(graph, base_dir)
    return adapted(recipe, asked.mean, asked.scale, asked.channel_order, asked.resize)
