"""How is a picture drawn and written: with matplotlib, if the extra `viz` is there?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netdef.diagnostics import NetdefError, RunError, error
from netdef.files import PathLike, write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#5B5B5B")
"""Colours that people with any colour vision tell apart (Okabe and Ito 2008), the most distinct ones first."""
FORMATS = ("png", "svg", "pdf")

_STYLE = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.dpi": 120,
    "svg.hashsalt": "netdef",  # the same picture gives the same file
}


@contextmanager
def drawing(path: PathLike, heights: Sequence[float], *, width: float = 8.6) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of panels one above the other, with a common horizontal axis; written to `path` at the end.

    `heights` of the panels and `width` are in inches.

    Raises:
        NetdefError: ND0031, there is no matplotlib; ND0034, `path` names a format that is none of `FORMATS`.
    """
    form = picture_format(path)
    pyplot = _pyplot()
    with pyplot.rc_context(_STYLE):
        figure, panels = pyplot.subplots(
            len(heights),
            1,
            sharex=True,
            squeeze=False,
            figsize=(width, 0.9 + sum(heights)),
            layout="constrained",
            height_ratios=heights,
        )
        try:
            yield figure, [row[0] for row in panels]
            stream = BytesIO()
            figure.savefig(stream, format=form, metadata={"Date": None} if form == "svg" else None)
        finally:
            pyplot.close(figure)
    write_atomic(path, stream.getvalue())


def picture_format(path: PathLike) -> str:
    """The format that the ending of `path` stands for (ND0034 for one that is none, ND0016 where its folder is not)."""
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in FORMATS:
        help = f"end the name in {', '.join('.' + name for name in FORMATS)}"
        raise NetdefError([error("ND0034", f"{Path(path)} is no picture that can be drawn", help=help)])
    if not Path(path).parent.is_dir():
        raise RunError([error("ND0016", f"no such folder: {Path(path).parent}", help="make it first")])
    return form


def missing_extra(what: str, package: str) -> NetdefError:
    """The error that says that the extra `viz` is not installed."""
    help = "install the extra: pip install 'netdef[viz]'"
    return NetdefError([error("ND0031", f"{what} needs {package}, which is not installed", help=help)])


def _pyplot() -> Any:  # a module
    try:
        import matplotlib as mpl
    except ImportError as fault:
        raise missing_extra("a picture", "matplotlib") from fault
    mpl.use("agg")
    from matplotlib import pyplot as plt

    return plt
