"""The torch target: an fx.GraphModule that trains and predicts."""

from netdef.targets.torch.blobs import LayerBlobs, layer_blobs, load_arrays, net_layers, shared_blobs
from netdef.targets.torch.build import build_module, lend, share, tensors

__all__ = [
    "LayerBlobs",
    "build_module",
    "layer_blobs",
    "lend",
    "load_arrays",
    "net_layers",
    "share",
    "shared_blobs",
    "tensors",
]
