"""`netdef upgrade`: an old net, solver or .caffemodel in today's schema, with every comment of a text kept."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from netdef.cli.report import show
from netdef.diagnostics import NetdefError, has_errors
from netdef.files import write_atomic
from netdef.schema import kind
from netdef.schema.read import read_source
from netdef.schema.upgrade import Upgraded, upgrade_batch_norms, upgrade_inputs, upgrade_net, upgrade_solver
from netdef.text import format_document, parse
from netdef.text.cst import Document

_HEAD_BYTES = 1 << 16


@click.command("upgrade")
@click.argument("file", type=click.Path(readable=False))
@click.option("-o", "--output", type=click.Path(), help="Where to write; standard output by default, for a text.")
@click.option("-i", "--in-place", is_flag=True, help="Write over FILE.")
def command(file: str, output: str | None, in_place: bool) -> None:
    """Rewrite FILE, a net or solver of 2013 or 2014 or the weights of one, in today's schema.

    What FILE is, its content tells. Of a text every comment is kept, and it is laid out as by `netdef fmt`. A file
    that is in today's schema already is left as it is, or copied to the output.
    """
    if output is not None and in_place:
        raise click.UsageError("-o and -i exclude each other")
    target = file if in_place else output
    if _is_binary(file):
        _upgrade_weights(file, target)
    else:
        _upgrade_text(file, target)


def _is_binary(file: str) -> bool:
    """Whether a file holds bytes that no text does; one that cannot be read is left to the reader to refuse."""
    try:
        with Path(file).open("rb") as stream:
            return b"\0" in stream.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return False


def _upgrade_text(file: str, target: str | None) -> None:
    source = read_source(file)
    parsed = parse(source)
    if has_errors(parsed.diagnostics):
        raise NetdefError(parsed.diagnostics)
    upgraded = _upgraded(parsed.document)
    if upgraded == parsed.document:
        text = source.text
        click.echo(f"{file} is in today's schema already", err=True)
    else:
        text = format_document(upgraded)
        if target is not None:
            click.echo(f"{target}: in today's schema", err=True)
    data = text.encode("utf-8", "surrogateescape")
    if target is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    elif target != file or upgraded != parsed.document:
        write_atomic(target, data)


def _upgraded(document: Document) -> Document:
    """The tree in today's schema; what stands in the way is an error, what is left out a warning."""
    if kind.kind_of(document) == "solver":
        return _settled(upgrade_solver(document))
    return upgrade_batch_norms(upgrade_inputs(_settled(upgrade_net(document))))


def _settled(outcome: Upgraded) -> Document:
    if has_errors(outcome.diagnostics):
        raise NetdefError(outcome.diagnostics)
    show(outcome.diagnostics)
    return outcome.document


def _upgrade_weights(file: str, target: str | None) -> None:
    from netdef.weights import kind_of  # brings numpy
    from netdef.weights.upgrade import upgrade_weights

    kind_of(file)  # refuses what is nothing that netdef knows
    if target is None:
        raise click.UsageError(f"{file} holds weights; say with -o or -i where they are to be written")
    upgraded = upgrade_weights(file, target)
    show(upgraded.diagnostics)
    if not upgraded.changed:
        click.echo(f"{file} is in today's schema already", err=True)
    else:
        click.echo(f"{target}: {upgraded.num_layers} layers in today's schema", err=True)
