"""What is a layer type of an old file called today?

V1 files hold a number (V1LayerParameter.LayerType), V0 files a lower-case word; the upgrade of texts knows both.
"""

from __future__ import annotations

from netdef.schema.netdef_pb2 import V1LayerParameter
from netdef.schema.upgrade.types import FROM_V0, FROM_V1

_NAMES = V1LayerParameter.LayerType.DESCRIPTOR.values_by_number


def of_number(number: int) -> str:
    """The type of a V1 layer; a fork's own number as it is."""
    return FROM_V1[_NAMES[number].name] if number in _NAMES else str(number)


def of_word(word: str) -> str:
    """The type of a V0 layer; a fork's own word as it is."""
    return FROM_V1[FROM_V0[word][0]] if word in FROM_V0 else word
