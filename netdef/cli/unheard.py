"""What becomes of a run that nobody hears any more: its terminal is gone, its reader, or the room for its log?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, cast


class _Patient:
    """A stream of text whose writing never fails; what cannot be written is lost, what comes later is tried again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it, if that can be."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what is held back, if that can be."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's own."""
        return getattr(self._stream, name)


@contextmanager
def unheard() -> Iterator[None]:
    """A block that goes on where nothing can be printed: hours of training are worth more than a line that tells of it.

    So `netdef train` outlives its terminal (SIGHUP then asks for a snapshot), the reader of its pipe, and a disk that
    its own log has filled.
    """
    out, err = cast(TextIO, _Patient(sys.stdout)), cast(TextIO, _Patient(sys.stderr))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        let_go()


def have_streams() -> None:
    """Give a process that was started without stdout or stderr (``>&-``, a service) one that leads nowhere.

    Python has None in their places; and the first file that is opened would get the number that others print to.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for as long as it runs


def let_go() -> None:
    """Pass on what was printed, and drop what cannot be: Python would complain, and end with a code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
