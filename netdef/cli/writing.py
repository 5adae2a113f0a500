"""May a command write this file? Not where it is one that the command reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click


class Writing(click.Command):
    """A command that writes files, and refuses to write over one of those it was given to read.

    ``-o net.prototxt``, where the net is meant to be read, would cost its author the net.

    Attributes:
        outputs: names of the parameters that say what to write; every other parameter may name a file to read.
        beside: extensions of files that are written beside each output, under its name.
    """

    def __init__(self, *args: Any, outputs: tuple[str, ...] = ("output",), beside: tuple[str, ...] = (), **kw: Any):
        super().__init__(*args, **kw)
        self.outputs, self.beside = outputs, beside

    def invoke(self, ctx: click.Context) -> Any:
        """Refuse, or run the command."""
        read = [path for name, value in ctx.params.items() if name not in self.outputs for path in _files(value)]
        for name in self.outputs:
            for path in self._written(ctx.params[name]):
                if _is_file(path) and any(path.samefile(other) for other in read):
                    raise click.UsageError(f"{path} is read, and would be written over: name another file", ctx)
        return super().invoke(ctx)

    def _written(self, value: Any) -> Iterator[Path]:
        for path in _paths(value):
            yield from (path, *(path.with_suffix(end) for end in self.beside if path.name))


def _files(value: Any) -> Iterator[Path]:
    """The files among a parameter's values."""
    return (path for path in _paths(value) if _is_file(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text that cannot be a name: too long, a zero byte in it
        return False


def _paths(value: Any) -> Iterator[Path]:
    """What may be a path in the value of a parameter: a text, several joined by commas, or several texts."""
    if isinstance(value, str):
        yield from map(Path, dict.fromkeys([value, *value.split(",")]))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _paths(item)
