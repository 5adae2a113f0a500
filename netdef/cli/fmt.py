"""`netdef fmt`: prototxt files in one style, with every comment kept and no meaning changed."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from netdef.cli.report import show
from netdef.diagnostics import Diagnostic, NetdefError, Source, error
from netdef.files import write_atomic
from netdef.schema.read import decode_source, read_source
from netdef.text import format_document, parse

STDIN = "-"


@click.command("fmt")
@click.argument("files", nargs=-1, required=True, type=click.Path(readable=False))
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if a file is not in style.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
def command(files: tuple[str, ...], check: bool, diff: bool) -> None:
    """Lay out FILES in one style, in place; of a folder every .prototxt in it, - from stdin to stdout.

    A file with syntax errors is left as it is. Exit codes: 0 fine, 1 an error in a file (or --check found a
    file out of style), 3 a file could not be written.
    """
    tally = _Tally()
    for file in _expanded(files):
        try:
            _format(file, check, diff, tally)
        except NetdefError as failure:
            tally.fail(failure.exit_code, failure.diagnostics)
        except OSError as failure:
            tally.fail(3, (error("ND0016", f"{file} could not be written: {failure.strerror}"),))
    if files != (STDIN,) or check:
        click.echo(tally.sentence(would=check or diff), err=True)
    if tally.exit_code or (check and tally.changed):
        raise click.exceptions.Exit(tally.exit_code or 1)


class _Tally:
    """What has become of the files so far."""

    def __init__(self) -> None:
        self.changed = self.same = self.failed = self.exit_code = 0

    def fail(self, exit_code: int, diagnostics: tuple[Diagnostic, ...]) -> None:
        """Note a file that could not be formatted, and show why."""
        show(diagnostics)
        self.failed += 1
        self.exit_code = max(self.exit_code, exit_code)

    def sentence(self, *, would: bool) -> str:
        """The numbers in words."""
        done = "would change" if would else "changed"
        counts = ((self.changed, done), (self.same, "in style"), (self.failed, "left alone"))
        parts = [f"{number} {_files(number)} {what}" for number, what in counts if number]
        return ", ".join(parts) or "no .prototxt files"


def _files(number: int) -> str:
    return "file" if number == 1 else "files"


def _expanded(files: tuple[str, ...]) -> Iterator[str]:
    """The files as given, and in place of a folder the .prototxt files below it, in the order of their names."""
    for file in files:
        if file != STDIN and Path(file).is_dir():
            yield from (str(path) for path in sorted(Path(file).rglob("*.prototxt")) if path.is_file())
        else:
            yield file


def _format(file: str, check: bool, diff: bool, tally: _Tally) -> None:
    source = _read(file)
    result = parse(source)
    if result.diagnostics:
        raise NetdefError(result.diagnostics)
    formatted = format_document(result.document)
    changed = formatted != source.text
    if diff:
        _write_stdout(_difference(source, formatted))
    elif check:
        if changed:
            click.echo(f"{source.name} is not in style", err=True)
    elif file == STDIN:
        _write_stdout(formatted)
    elif changed:
        write_atomic(file, _encoded(formatted))
    tally.changed += changed
    tally.same += not changed


def _read(file: str) -> Source:
    return decode_source("<stdin>", sys.stdin.buffer.read()) if file == STDIN else read_source(file)


def _difference(source: Source, formatted: str) -> str:
    before, after = source.text.splitlines(keepends=True), formatted.splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, source.name, f"{source.name} (in style)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _write_stdout(text: str) -> None:
    """Bytes, as a file's own line breaks and foreign bytes in comments must reach the output unchanged."""
    stream: BinaryIO = sys.stdout.buffer
    stream.write(_encoded(text))
    stream.flush()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
