"""How do diagnostics reach the user: on which stream, in which form, with colour or without?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import TextIO

from netdef.diagnostics import Diagnostic

FORMATS = ("text", "json", "sarif", "github")
"""What `--format` may be; each is a file of `netdef.diagnostics.render`."""


def show(diagnostics: Iterable[Diagnostic], format: str = "text") -> None:
    """Print diagnostics: text for people on stderr, the forms for programs on stdout (also when there are none)."""
    found = tuple(diagnostics)
    if format != "text":
        sys.stdout.write(import_module(f"netdef.diagnostics.render.{format}").render(found))
        return
    from netdef.diagnostics.render.text import render

    sys.stderr.write(_encodable(render(found, color=wants_color(sys.stderr)), sys.stderr))
    sys.stderr.flush()


def wants_color(stream: TextIO) -> bool:
    """Whether a terminal that knows colours reads the stream (https://no-color.org, and FORCE_COLOR)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _encodable(text: str, stream: TextIO) -> str:
    """The text as far as the stream can show it: an old terminal's encoding must not stop an error message."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
