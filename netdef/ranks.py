"""What do torchrun's environment variables say of the processes that were started together?"""

from __future__ import annotations

import os

from netdef.diagnostics import NetdefError, error


def world_size() -> int:
    """How many they are."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """Which of them this is, from 0."""
    return _number("RANK", 0)


def local_rank() -> int:
    """Which of those on this machine."""
    return _number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """How many of them are on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def _number(name: str, default: int) -> int:
    """The variable's number, the default where it is not set or empty; NetdefError ND0720 where it holds none."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdecimal()):
        help = f"torchrun sets it; to train in one process: unset {name}"
        raise NetdefError([error("ND0720", f"the environment variable {name} is {text!r}, not a number", help=help)])
    return int(text)
