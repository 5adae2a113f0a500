"""What a page about a code holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """The explanation of one code.

    Attributes:
        code: ``ND`` and four digits.
        title: what is wrong, in a few words.
        text: why it is wrong, an example that shows it, and how to mend it (Markdown, wrapped at 100 columns).
    """

    code: str
    title: str
    text: str
