"""How does a fault inside a weight file become a diagnostic that names file, place and byte?"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from netdef.diagnostics import NetdefError, RunError, error
from netdef.files import PathLike

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Damaged(Exception):
    """A file holds what cannot be.

    Attributes:
        message: what was found and expected.
        offset: the byte of it, or None where bytes are another library's.
        code: the diagnostic's code.
        place: layer and blob, where known.
        help: what to do.
    """

    def __init__(self, message: str, *, offset: int | None = None, code: str = "ND0603", help: str = "") -> None:
        super().__init__(message)
        self.message, self.offset, self.code, self.help = message, offset, code, help
        self.place = ""


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Give a fault that is raised in the block its place, if it has none yet."""
    try:
        yield
    except Damaged as fault:
        fault.place = fault.place or place
        raise


@contextmanager
def reported(path: PathLike) -> Iterator[None]:
    """Turn what goes wrong with the file at `path` in the block into a NetdefError, a RunError for a full disk."""
    try:
        yield
    except Damaged as fault:
        place = f"{fault.place}: " if fault.place else ""
        at = "" if fault.offset is None else f" (at byte {fault.offset:,})"
        raise wrong(fault.code, path, f"{place}{fault.message}{at}", fault.help) from fault
    except OSError as fault:
        failure = wrong("ND0601", path, fault.strerror or str(fault))
        raise RunError(failure.diagnostics) if fault.errno in _NO_ROOM else failure from fault


def wrong(code: str, path: PathLike, message: str, help: str = "") -> NetdefError:
    """A NetdefError about the file at `path`."""
    return NetdefError([error(code, f"{os.fspath(path)}: {message}", help=help or ())])


def blob_place(layer: str, index: int | str) -> str:
    """How a message names a blob."""
    return f'layer "{layer}", blob {index}'
