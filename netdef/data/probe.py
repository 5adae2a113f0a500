"""What are the shapes of a data layer's tops? One record is read, without torch, and without numpy where possible."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netdef.data.faults import BadData, as_error, place_of
from netdef.data.paths import find, locate, missing
from netdef.diagnostics import Diagnostic, warning
from netdef.ir import Places
from netdef.layers.base import Layer
from netdef.layers.data import Data, HDF5Data, ImageData, Transform

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found.

    Attributes:
        shapes: one for each top; None where the source isn't there or can't be read.
        diagnostics: a warning where it isn't there, an error where it can't be read.
    """

    shapes: tuple[Sizes, ...] | None
    diagnostics: tuple[Diagnostic, ...] = ()


def probe(layer: Layer, *, base_dir: Path | None = None, name: str = "", places: Places = Places()) -> Probed:  # noqa: B008
    """Shapes of the tops of a Data, ImageData or HDF5Data layer, from its first record.

    Of other layers nothing is to be found that `infer` doesn't tell: no shapes, no diagnostics.
    """
    if not isinstance(layer, Data | ImageData | HDF5Data) or not layer.source:  # none was given: decoding has said so
        return Probed(None)
    if find(layer.source, base_dir) is None:
        return Probed(None, (_absent(layer.source, base_dir, name, places),))
    try:
        return Probed(_shapes(layer, base_dir))
    except BadData as fault:
        return Probed(None, as_error(fault, name, places).diagnostics)


def prober(path: str | os.PathLike[str] | None) -> Callable[[Layer, str, Places], Probed]:
    """The probe of a net file, or of any in a folder: sources are looked for in the working folder, then there."""
    place = Path(path) if path is not None else None
    base_dir = place if place is None or place.is_dir() else place.parent
    return lambda layer, name, places: probe(layer, base_dir=base_dir, name=name, places=places)


def _shapes(layer: Data | ImageData | HDF5Data, base_dir: Path | None) -> tuple[Sizes, ...]:
    if isinstance(layer, Data):
        image = _cut(_first_record(layer, base_dir), layer.transform, layer.source)
        return ((layer.batch_size, *image), (layer.batch_size,))[: layer.count]
    if isinstance(layer, ImageData):
        image = _cut(_first_image(layer, base_dir), layer.transform, layer.source)
        return (layer.batch_size, *image), (layer.batch_size,)
    from netdef.data.hdf5 import describe_files  # brings h5py

    return tuple((layer.batch_size, *sizes) for sizes in describe_files(layer, base_dir)[0].shapes)


def _first_record(layer: Data, base_dir: Path | None) -> Sizes:
    from netdef.data.database import open_database  # brings lmdb
    from netdef.data.datum import parse

    database = open_database(locate(layer.source, base_dir, "database"), layer.backend)
    try:
        record = database.read(0, 1)[0]
    finally:
        database.close()
    datum = parse(*record)
    if not datum.encoded:
        return datum.channels, datum.height, datum.width
    from netdef.data.records import read_record  # brings OpenCV

    return tuple(read_record(record, layer.transform)[0].shape)


def _first_image(layer: ImageData, base_dir: Path | None) -> Sizes:
    from netdef.data.lists import read_image_list

    first = read_image_list(locate(layer.source, base_dir, "image list"))[0]
    channels = 3 if layer.is_color else 1
    if layer.new_height:
        return channels, layer.new_height, layer.new_width
    from netdef.data.image_list import Folder  # brings OpenCV
    from netdef.data.images import COLOR, GRAY, read_image

    path = Folder(layer.root_folder, base_dir).path(first)
    return tuple(read_image(path, None, COLOR if layer.is_color else GRAY, f"{layer.source}, line {first.line}").shape)


def _cut(image: Sizes, transform: Transform, source: str) -> Sizes:
    size = transform.crop_size
    if size > min(image[1:]):
        found = "x".join(map(str, image))
        raise BadData(
            "ND0520", f"the first image of {source} is {found}, smaller than `crop_size: {size}`", field="crop_size"
        )
    return (image[0], size, size) if size else image


def _absent(source: str, base_dir: Path | None, name: str, places: Places) -> Diagnostic:
    fault = missing(source, base_dir, f'layer "{name}": the source' if name else "the source")
    help = (fault.help, "the check goes on with unknown sizes; `--shape BLOB=NxCxHxW` supplies them")
    return warning(fault.code, fault.message, span=place_of(fault, places), help=help)
