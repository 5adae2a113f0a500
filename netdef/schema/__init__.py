"""Floor 2: from the tree of a text to a typed message that knows its places."""

from netdef.schema.bind import Bound, bind
from netdef.schema.read import read_message, read_source
from netdef.schema.suggest import nearest
from netdef.schema.where import Where

__all__ = ["Bound", "Where", "bind", "nearest", "read_message", "read_source"]
