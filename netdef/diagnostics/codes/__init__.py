"""Every code a diagnostic may carry, with the page that `netdef explain CODE` shows.

One file for each range, named after the floor that finds the fault. Loaded only to explain: the check itself
never reads a page.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from netdef.diagnostics.codes.page import Page

__all__ = ["Page", "pages"]


@cache
def pages() -> dict[str, Page]:
    """All pages by code, in the order of the codes."""
    found: dict[str, Page] = {}
    for module in iter_modules(__path__):
        for page in getattr(import_module(f"{__name__}.{module.name}"), "PAGES", ()):
            if page.code in found:
                raise ValueError(f"{page.code} is explained twice")
            found[page.code] = page
    return dict(sorted(found.items()))
