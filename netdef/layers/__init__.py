"""Floor 4: one class for each layer type of Caffe, its rules side by side. Importing this registers all of them."""

from importlib import import_module
from pkgutil import iter_modules

from netdef.layers.base import Arity, Layer, Mismatch, Unsupported, layer, registry
from netdef.layers.block import Block

for _family in iter_modules(__path__):
    import_module(f"{__name__}.{_family.name}")

__all__ = ["Arity", "Block", "Layer", "Mismatch", "Unsupported", "layer", "registry"]
