"""A net as a picture that a person can read: SVG, PNG, or a page to wander about in. Without torch."""

from netdef.report.draw.compose import compose
from netdef.report.draw.html import html
from netdef.report.draw.svg import svg

__all__ = ["compose", "html", "svg"]
