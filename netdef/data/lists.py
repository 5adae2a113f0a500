"""How are text files read that list images or HDF5 files?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netdef.data.faults import BadData


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of an image list: path, label, and the line's number from 1."""

    path: str
    label: int
    line: int


def read_image_list(path: Path) -> tuple[Entry, ...]:
    """The lines ``path label`` of an image list; a path may hold spaces, empty lines are passed over.

    BadData: ND0530 for a line without an integer after its last space, ND0504 for an empty list. Source: Caffe's
    image_data_layer.cpp.
    """
    lines = _text(path).split("\n")
    entries = tuple(_entry(path, line.strip(), number) for number, line in enumerate(lines, 1) if line.strip())
    if not entries:
        raise BadData("ND0504", f"{path}: the list is empty")
    return entries


def read_file_list(path: Path) -> tuple[str, ...]:
    """The file names in a list, parted by white space; BadData ND0504 for an empty list.

    Source: Caffe's hdf5_data_layer.cpp.
    """
    names = tuple(_text(path).split())
    if not names:
        raise BadData("ND0504", f"{path}: the list is empty")
    return names


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as fault:
        raise BadData("ND0501", f"{path}: cannot read the list: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise BadData("ND0530", f"{path}: no text list: byte {fault.start:,} is no UTF-8") from fault


def _entry(path: Path, line: str, number: int) -> Entry:
    name, _, label = line.replace("\t", " ").rpartition(" ")
    try:
        return Entry(line[: len(name)].rstrip(), int(label), number)
    except ValueError as fault:
        message = f'{path}:{number}: expected a label at the end, found "{label[:40]}"'
        raise BadData("ND0530", message, help="each line is a path, a space, and a whole number") from fault
