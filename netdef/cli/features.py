"""`netdef features`: what a net computes of images, written to a file."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import click

from netdef.cli.pictures import Asked, find, finish, good_rows, open_runner, picture_options
from netdef.cli.status import ticking
from netdef.cli.writing import Writing
from netdef.data.faults import reported
from netdef.diagnostics import NetdefError, error

_FORMS = (".npz", ".h5", ".hdf5", ".lmdb")


@click.command("features", cls=Writing)
@click.option("--blob", "blobs", multiple=True, required=True, help="A blob to write; may be repeated.")
@click.option("--output", "-o", required=True, help="The file to write: .npz, .h5 or .lmdb.")
@picture_options
def command(asked: Asked, blobs: tuple[str, ...], output: str) -> None:
    """Write blobs of NET, a prototxt with --weights or an ONNX file, for each of IMAGES.

    IMAGES are files, folders, or - for a list on standard input; the file lists them in the order of the rows.
    """
    if Path(output).suffix.lower() not in _FORMS:
        message = f"{output}: the name ends in none of {', '.join(_FORMS)}"
        raise NetdefError([error("ND0958", message, help="the ending says what is written")])
    from netdef.deploy.features import write_features
    from netdef.deploy.predict import rows

    paths = find(asked.images)
    wanted = tuple(dict.fromkeys(blobs))
    runner, preparation = open_runner(asked, wanted)
    bad: list[Path] = []
    started = perf_counter()
    with ticking("images", len(paths)) as tick, reported():
        found = good_rows(rows(runner, preparation, paths, batch=asked.batch), tick, bad)
        count, files = write_features(Path(output), found, wanted)
    for file in files:
        click.echo(f"{file}: {count:,} image{'' if count == 1 else 's'}")
    finish(runner, started, count, bad)
