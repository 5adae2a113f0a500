"""Floor 1: protobuf text to a lossless tree, and back."""

from netdef.text.format import format_document
from netdef.text.parse import ParseResult, parse
from netdef.text.printer import print_document

__all__ = ["ParseResult", "format_document", "parse", "print_document"]
