"""How does a file become a message, and what is told to a user whose file is none?"""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from netdef.diagnostics import Diagnostic, NetdefError, Source, Span, error
from netdef.schema import netdef_pb2 as pb
from netdef.schema.bind import Bound, bind
from netdef.schema.suggest import nearest
from netdef.text import parse
from netdef.text.cst import Document

M = TypeVar("M", bound=Message)

# What in a solver may be old, or hold an old net.
_OLD_IN_SOLVERS = {"solver_type", "net_param", "train_net_param", "test_net_param"}

_STRING_OR_COMMENT = re.compile(r"\"(?:[^\"\\\n]|\\[^\n])*+\"|'(?:[^'\\\n]|\\[^\n])*+'|\#[^\n]*+")


def read_message(path_or_source: str | os.PathLike[str] | Source, message_type: type[M]) -> Bound[M]:
    """Parse, upgrade and bind a text file; what is wrong in it is in the result's diagnostics, in its order.

    Raises NetdefError where the file cannot be read as text at all.
    """
    source = path_or_source if isinstance(path_or_source, Source) else read_source(path_or_source)
    parsed = parse(source)
    document, old = _today(parsed.document, message_type)
    bound = bind(document, message_type)
    found = (*parsed.diagnostics, *old, *bound.diagnostics)
    return Bound(bound.message, bound.where, tuple(sorted(found, key=_start)))


def _today(document: Document, message_type: type[Message]) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The tree in today's schema; what upgrades is loaded only for old files."""
    keys = {field.name[0].text for field in document.fields}
    if message_type is pb.NetParameter and "layers" in keys:
        from netdef.schema.upgrade.net import upgrade_net

        upgraded = upgrade_net(document)
    elif message_type is pb.SolverParameter and not keys.isdisjoint(_OLD_IN_SOLVERS):
        from netdef.schema.upgrade.solver import upgrade_solver

        upgraded = upgrade_solver(document)
    else:
        return document, ()
    return upgraded.document, upgraded.diagnostics


def read_source(path: str | os.PathLike[str]) -> Source:
    """The text of a file, under the name that the user gave; line breaks and byte order mark are kept.

    Bytes in comments that are not UTF-8 (old files are often in a national encoding) are kept as lone
    surrogates. Raises NetdefError: ND0010 no such file, ND0011 a folder, ND0012 not allowed, ND0013 another
    reason of the system, ND0014 not a text, ND0015 not UTF-8 outside comments.
    """
    name = os.fspath(path)
    try:
        data = _content(path)
    except (OSError, ValueError) as fault:
        raise NetdefError([_unreadable(name, fault)]) from fault
    return decode_source(name, data)


def _content(path: str | os.PathLike[str]) -> bytes:
    """All bytes of the file, or its beginning where that already shows that it is no text (gigabytes of weights)."""
    with Path(path).open("rb") as stream:
        start = stream.read(1 << 16)
        return start if b"\0" in start else start + stream.read()


def decode_source(name: str, data: bytes) -> Source:
    """The text that `data` holds (what stands on standard input, say); raises as `read_source` does."""
    if b"\0" in data:
        raise NetdefError([_binary(name, data)])
    try:
        return Source(name, data.decode("utf-8"))
    except UnicodeDecodeError:
        source = Source(name, data.decode("utf-8", "surrogateescape"))
    if found := _foreign(source, data):
        raise NetdefError(found)
    return source


def _start(diagnostic: Diagnostic) -> int:
    return diagnostic.span.start if diagnostic.span else 0


def _unreadable(name: str, fault: OSError | ValueError) -> Diagnostic:
    match fault:
        case FileNotFoundError():
            return error("ND0010", f"no such file: {name}", help=_missing_help(name))
        case IsADirectoryError():
            return error("ND0011", f"{name} is a folder, not a file")
        case PermissionError():
            return error("ND0012", f"no permission to read {name}")
        case OSError():
            return error("ND0013", f"cannot read {name}: {fault.strerror}")
    return error("ND0013", f"cannot read {name!r}: {fault}")


def _missing_help(name: str) -> str | tuple[str, ...]:
    """A file of nearly the same name in the same folder, or the part of the path that is missing."""
    folder = Path(name).parent
    try:
        near = nearest(Path(name).name, sorted(entry.name for entry in folder.iterdir()))
    except OSError:
        return f"the folder {folder} does not exist" if not folder.exists() else ()
    return f"did you mean {folder / near}?" if near else ()


def _binary(name: str, data: bytes) -> Diagnostic:
    offset = data.index(b"\0")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return error("ND0014", f"{name} is a text in UTF-16, not in UTF-8", help="save the file as UTF-8")
    return error(
        "ND0014",
        f"{name} is not a text file: it has a zero byte at offset {offset}",
        help="a .caffemodel is given with --weights; nets and solvers are texts (.prototxt)",
    )


def _foreign(source: Source, data: bytes) -> list[Diagnostic]:
    """ND0015 at the first lone surrogate outside comments, if there is one."""
    code = _STRING_OR_COMMENT.sub(lambda m: " " * len(m[0]) if m[0][0] == "#" else m[0], source.text)
    bad = re.search(r"[\ud800-\udfff]", code)
    if not bad:
        return []
    offset = len(source.text[: bad.start()].encode("utf-8", "surrogateescape"))
    return [
        error(
            "ND0015",
            f"{source.name} is not UTF-8: byte 0x{data[offset]:02x} at offset {offset}",
            span=Span(source, bad.start(), bad.end()),
            help="save the file as UTF-8",
        )
    ]
