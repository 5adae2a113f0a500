"""How does a list of images become a database, as by Caffe's convert_imageset?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from netdef.data import datum
from netdef.data.database import Record
from netdef.data.faults import BadData
from netdef.data.image_list import Folder
from netdef.data.images import COLOR, GRAY, read_image
from netdef.data.lists import Entry
from netdef.data.write import MAX_KEY_BYTES, chunks

CHUNK = 256
"""Images in the works at a time."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How images are stored.

    Attributes:
        source: the list, as errors call it.
        folder: where the list's paths begin.
        size: (height, width) to resize to, or None.
        gray: one channel instead of three.
        encoded: keep image files (JPEG, PNG …) instead of pixels.
        encode_type: the kind of file to make, such as ``jpg``; empty keeps each file's own.
        check_size: refuse images whose size differs from the first's.
    """

    source: str
    folder: Folder
    size: tuple[int, int] | None = None
    gray: bool = False
    encoded: bool = False
    encode_type: str = ""
    check_size: bool = False


def import_records(
    entries: tuple[Entry, ...], options: ImportOptions, skip: Callable[[BadData], None] | None = None
) -> Iterator[Record]:
    """Records of the images, with the keys that Caffe gives them: the number in the list, ``_``, the path.

    A bad image raises BadData (ND0511, ND0513, ND0531), or goes to `skip` and is left out. Source: Caffe's
    tools/convert_imageset.cpp.
    """
    first: Made | None = None
    with ThreadPoolExecutor() as pool:
        for chunk in chunks(enumerate(entries), CHUNK):
            made = pool.map(partial(_attempt, options), (entry for _, entry in chunk))
            for (number, entry), result in zip(chunk, made, strict=True):
                fault = result if isinstance(result, BadData) else _other_size(result, first, entry, options)
                if fault:
                    _refuse(fault, skip)
                elif isinstance(result, Made):
                    first = first or result
                    yield f"{number:08d}_{entry.path}".encode()[:MAX_KEY_BYTES], result.value


@dataclass(frozen=True, slots=True)
class Made:
    """A record's value, and the size (C, H, W) of its image."""

    value: bytes
    sizes: tuple[int, ...]


def _attempt(options: ImportOptions, entry: Entry) -> Made | BadData:
    try:
        return _make(options, entry)
    except BadData as fault:
        return fault


def _make(options: ImportOptions, entry: Entry) -> Made:
    path = options.folder.path(entry)
    image = read_image(path, options.size, GRAY if options.gray else COLOR, f"{options.source}, line {entry.line}")
    if not options.encoded:
        return Made(datum.encode(image.tobytes(), _three(image.shape), entry.label), image.shape)
    kept = options.size is None and not options.gray and not options.encode_type
    file = path.read_bytes() if kept else _encode(image, options.encode_type or path.suffix)
    return Made(datum.encode_image(file, entry.label), image.shape)


def _encode(image: NDArray[np.uint8], kind: str) -> bytes:
    try:
        _, file = cv2.imencode("." + kind.removeprefix("."), np.ascontiguousarray(image.transpose(1, 2, 0)))
    except cv2.error as fault:
        raise BadData("ND0582", f'OpenCV cannot write images of the kind "{kind}"', help="use jpg or png") from fault
    return bytes(file.tobytes())


def _other_size(made: Made, first: Made | None, entry: Entry, options: ImportOptions) -> BadData | None:
    if first is None or made.sizes == first.sizes or not options.check_size:
        return None
    sizes, expected = ("x".join(map(str, one.sizes)) for one in (made, first))
    return BadData("ND0511", f"{options.source}, line {entry.line} is {sizes}, and the first image is {expected}")


def _refuse(fault: BadData, skip: Callable[[BadData], None] | None) -> None:
    if skip is None:
        raise fault
    skip(fault)


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, height, width = shape
    return channels, height, width
