"""What comes out of an upgrade."""

from __future__ import annotations

from dataclasses import dataclass

from netdef.diagnostics import Diagnostic
from netdef.text.cst import Document


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The text's tree in today's schema, and what could not be brought over."""

    document: Document
    diagnostics: tuple[Diagnostic, ...] = ()
