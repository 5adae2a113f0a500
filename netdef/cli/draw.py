"""`netdef draw`: a net as a picture that a person can read."""

from __future__ import annotations

from pathlib import Path

import click

from netdef.cli.options import net_options, probing
from netdef.diagnostics import NetdefError, error
from netdef.files import write_atomic
from netdef.graph import Options, load
from netdef.ir import Graph

_FORMS = (".svg", ".png", ".html")


def _check_form(ctx: click.Context, param: click.Parameter, path: str) -> str:
    if Path(path).suffix.lower() not in _FORMS:
        raise click.BadParameter(f"{path!r} ends in none of {', '.join(_FORMS)}")
    return path


@click.command("draw")
@click.argument("net", type=click.Path(readable=False))
@click.option("--output", "-o", required=True, callback=_check_form, help="The picture: .svg, .png or .html.")
@click.option("--scale", default=2.0, type=click.FloatRange(0.1, 10), show_default=True, help="Of a .png, in pixels.")
@net_options()
def command(
    net: str,
    output: str,
    scale: float,
    options: Options,
) -> None:
    """Draw NET: layers with their fields and sizes, modules framed, kinds in colours.

    The .html can be searched and zoomed, and shows all that is known of a layer; it needs no network.
    """
    graph = load(net, probing(options, net))
    if not graph.nodes:
        raise NetdefError([error("ND0951", f"{net}: no layer takes part in phase {graph.phase}: nothing to draw")])
    write_atomic(output, picture(graph, Path(output).suffix.lower(), scale))
    click.echo(f"{output}: {len(graph.nodes)} layers")


def picture(graph: Graph, form: str, scale: float) -> str | bytes:
    """The file's content."""
    from netdef.report.draw import compose, html, svg

    scene = compose(graph)
    if form == ".html":
        return html(scene, graph)
    if form == ".svg":
        return svg(scene)
    from netdef.report.draw.png import png

    try:
        return png(scene, scale)
    except ImportError as missing:
        help = "pip install 'netdef[viz]', or draw an .svg or .html, which need nothing"
        raise NetdefError([error("ND0950", "drawing a .png needs the package matplotlib", help=help)]) from missing
