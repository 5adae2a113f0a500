"""What is reported when an output file cannot be written?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from netdef.diagnostics import RunError, error
from netdef.files import PathLike


@contextmanager
def saving(path: PathLike) -> Iterator[None]:
    """Turn what the system refuses in the block, which writes the file at `path`, into RunError ND0914."""
    try:
        yield
    except OSError as fault:
        raise RunError([error("ND0914", f"{os.fspath(path)} cannot be written: {fault.strerror or fault}")]) from fault
