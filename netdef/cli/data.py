"""`netdef data`: make a database from images, its mean image, and look into one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from netdef.cli.status import ticking
from netdef.data.database import Backend, Database, open_database
from netdef.data.faults import BadData, reported
from netdef.data.image_list import Folder
from netdef.data.importing import ImportOptions, import_records
from netdef.data.lists import Entry, read_image_list
from netdef.data.mean import encode_mean
from netdef.data.paths import locate
from netdef.data.survey import Survey, Tick, mean_image, survey
from netdef.data.write import write_lmdb
from netdef.files import write_atomic

_T = TypeVar("_T")
_MAX_LISTED = 20
_backend = click.option(
    "--backend", type=click.Choice(["LMDB", "LEVELDB"], case_sensitive=False), default="LMDB", help="Kind of database."
)


@click.group()
def command() -> None:
    """Make, look into and average databases of images."""


@command.command("import")
@click.argument("image_list")
@click.argument("database")
@click.option("--root-folder", default="", help="Put before each path of the list.")
@click.option("--resize-height", type=click.IntRange(min=1), help="Height of the stored images.")
@click.option("--resize-width", type=click.IntRange(min=1), help="Width of the stored images.")
@click.option("--gray", is_flag=True, help="One channel instead of three.")
@click.option("--encoded", is_flag=True, help="Store image files instead of pixels.")
@click.option("--encode-type", default="", help="Kind of file to store, such as jpg or png; implies --encoded.")
@click.option("--check-size", is_flag=True, help="Refuse an image whose size differs from the first's.")
@click.option("--shuffle", is_flag=True, help="Store the images in random order.")
@click.option("--seed", default=0, show_default=True, help="Of --shuffle.")
@click.option("--skip-bad", is_flag=True, help="Leave out images that can't be read, with a note.")
def import_(
    image_list: str,
    database: str,
    root_folder: str,
    resize_height: int | None,
    resize_width: int | None,
    gray: bool,
    encoded: bool,
    encode_type: str,
    check_size: bool,
    shuffle: bool,
    seed: int,
    skip_bad: bool,
) -> None:
    """Make the LMDB database DATABASE of the images in IMAGE_LIST, whose lines are a path and a label.

    Paths are looked for in the working folder, then beside the list. Images are stored as OpenCV reads them: blue,
    green, red.
    """
    if (resize_height is None) != (resize_width is None):
        raise click.UsageError("--resize-height and --resize-width go together")
    size = None if resize_height is None or resize_width is None else (resize_height, resize_width)
    folder = Folder(root_folder, Path(image_list).parent)
    options = ImportOptions(image_list, folder, size, gray, encoded or bool(encode_type), encode_type, check_size)
    with reported():
        entries = _in_order(read_image_list(locate(image_list, None, "image list")), shuffle, seed)
        records = import_records(entries, options, _note if skip_bad else None)
        count = write_lmdb(Path(database), _tracked(records, len(entries), "importing"))
    click.echo(f"{database}: {count:,} of {len(entries):,} images")


@command.command()
@click.argument("database")
@click.argument("output")
@_backend
def mean(database: str, output: str, backend: Backend) -> None:
    """Write the mean image of DATABASE to OUTPUT, a .binaryproto for `mean_file`, and show its channels' means."""
    with reported(), closing(open_database(locate(database, None, "database"), backend)) as opened:
        image = _watched(mean_image, "averaging", opened)
        _write(output, encode_mean(image))
    click.echo(f"{output}: {'x'.join(map(str, image.shape))}, mean of {opened.entries:,} images")
    for value in image.mean(axis=(1, 2), dtype=float):
        click.echo(f"mean_value: {value:.6g}")


@command.command()
@click.argument("database")
@_backend
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def inspect(database: str, backend: Backend, form: str) -> None:
    """Count the records of DATABASE by form, shape and label."""
    with reported(), closing(open_database(locate(database, None, "database"), backend)) as opened:
        found = _watched(survey, "reading", opened)
    if form == "json":
        click.echo(json.dumps(_plain(database, found), indent=2))
    else:
        _print(database, found)


def _in_order(entries: tuple[Entry, ...], shuffle: bool, seed: int) -> tuple[Entry, ...]:
    return tuple(Random(seed).sample(entries, len(entries))) if shuffle else entries


def _note(fault: BadData) -> None:
    click.echo(f"left out: {fault.message}", err=True)


def _write(path: str, data: bytes) -> None:
    try:
        write_atomic(path, data)
    except OSError as fault:
        raise BadData("ND0581", f"{path}: {fault.strerror}", failed=True) from fault


def _plain(database: str, found: Survey) -> dict[str, Any]:
    counts = {name: dict(sorted(getattr(found, name).items())) for name in ("forms", "shapes", "labels")}
    return {"database": database, "records": found.num_records, **counts}


def _print(database: str, found: Survey) -> None:
    table = Table("what", "value", "records", title=f"{database}: {found.num_records:,} records", title_justify="left")
    for what, counts in (("form", found.forms), ("shape", found.shapes), ("label", found.labels)):
        rows = sorted(counts.items())
        for value, count in rows[:_MAX_LISTED]:
            table.add_row(what, str(value), f"{count:,}")
        if len(rows) > _MAX_LISTED:
            rest = sum(count for _, count in rows[_MAX_LISTED:])
            table.add_row(what, f"{len(rows) - _MAX_LISTED} others", f"{rest:,}")
    Console().print(table)


def _watched(work: Callable[[Database, Tick], _T], what: str, database: Database) -> _T:
    with ticking(what, database.entries) as tick:
        return work(database, tick)


def _tracked(items: Iterable[_T], total: int, what: str) -> Iterator[_T]:
    with ticking(what, total) as tick:
        for item in items:
            yield item
            tick(1)
