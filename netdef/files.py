"""How does a file get written whole or not at all: beside its place first, then renamed over it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PathLike = str | os.PathLike[str]


def write_atomic(path: PathLike, data: bytes | str) -> None:
    """Put `data` (text as UTF-8, its line breaks as they are) at `path`.

    At every moment either the old file or the whole new one is there. Raises OSError as the system gives it;
    the old file is then untouched and nothing is left beside it.
    """
    with replacing(path) as stream:
        stream.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """A stream that takes the place of the file at `path` when the block ends well.

    The bytes go to a temporary file in the same folder, are forced to the disk, then renamed. An existing
    file's permissions are kept, and a symbolic link keeps pointing at its (new) target. On any failure the
    temporary file goes. What is no plain file (``/dev/null``, a pipe) is written to directly: it must not be
    replaced.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with target.open("wb") as stream:
            yield stream
        return
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(_mode(target))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _mode(target: Path) -> int:
    """Permissions of the file at `target`, or those that a plain `open` would give a new one."""
    try:
        return target.stat().st_mode & 0o7777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def sync_folder(folder: Path) -> None:
    """Force renames and deletions in a folder to the disk, where the system can (Windows cannot open a folder)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
