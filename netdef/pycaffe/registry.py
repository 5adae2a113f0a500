"""Which layer types are there?"""

from __future__ import annotations

from netdef.layers import registry


def layer_type_list() -> list[str]:
    """Caffe's names of all known layer types, sorted."""
    return sorted(registry())
