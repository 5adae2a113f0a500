"""Floor 1: protobuf text to a lossless tree, and back."""

from netdef.text.parse import ParseResult, parse
from netdef.text.printer import print_document

__all__ = ["ParseResult", "parse", "print_document"]
