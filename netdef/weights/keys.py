"""How are the parameters of a layer called in safetensors, and which layer does a key belong to?

A key is `<layer>.<param>`, as in a torch state_dict. netdef writes the order of each layer's parameters
into the metadata; in a foreign file `weight` comes first, then `bias`, then the others as they stand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from netdef.files import PathLike
from netdef.weights import tensors
from netdef.weights.faults import Damaged, inside
from netdef.weights.model import LayerWeights, Weights
from netdef.weights.narrow import Floats, to_float32

KIND = "netdef.kind"
_LAYERS = "netdef.layers"
_NET = "netdef.net"
_FIRST = {"weight": 0, "bias": 1}

_PAIR = (("weight",), ("weight", "bias"))
_RECURRENT = (("weight_x", "bias", "weight_h"), ("weight_x", "bias", "weight_static", "weight_h"))
# The names that the layers give their parameters, by type; of several lists the one of the right length.
_PARAMS: dict[str, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(("Convolution", "Deconvolution", "Embed", "InnerProduct", "Scale"), _PAIR),
    "BatchNorm": (("mean", "variance", "factor"),),
    "Bias": (("bias",),),
    "LSTM": _RECURRENT,
    "PReLU": (("weight",),),
    "Parameter": (("weight",),),
    "RNN": tuple((*names, "weight_o", "bias_o") for names in _RECURRENT),
}


def read(path: str, content: tensors.Tensors) -> Weights:
    """The weights among `content`: each tensor as float32, gathered by layer."""
    layers: dict[str, dict[str, Floats]] = {}
    types: dict[str, str] = {}
    for name, kind, params in _order(content.metadata):
        layers[name], types[name] = {}, kind
        for param in params:
            key = _key(name, param)
            if key not in content.arrays:
                raise Damaged(f'the metadata name "{key}", and no such tensor is there', code="ND0606")
            layers[name][param] = _floats(key, content.arrays[key])
    listed = _listed(layers)
    for key in (key for key in content.arrays if key not in listed):
        layer, _, param = key.rpartition(".")
        layers.setdefault(layer, {})[param] = _floats(key, content.arrays[key])
    found = (_layer(name, types.get(name), params) for name, params in layers.items())
    return Weights(path, "safetensors", tuple(found), content.metadata.get(_NET, ""))


def write_safetensors(path: PathLike, layers: Iterable[LayerWeights], *, net_name: str = "") -> None:
    """Write `layers` as `<layer>.<param>`, whole or not at all.

    Param names are the layer's `keys` where it has them, else those of its type, else "0", "1", ….
    Of two layers with one name the later is written. Errors: ND0601 where the system refuses.
    """
    kept = {layer.name: layer for layer in sorted(layers, key=lambda layer: bool(layer.blobs))}
    order = [[layer.name, layer.type, list(param_names(layer))] for layer in kept.values()]
    arrays: dict[str, NDArray[Any]] = {
        _key(layer.name, param): data
        for layer in kept.values()
        for param, data in zip(param_names(layer), layer.blobs, strict=True)
    }
    metadata = {KIND: "weights", _NET: net_name, _LAYERS: json.dumps(order, separators=(",", ":"))}
    tensors.write(path, arrays, metadata)


def param_names(layer: LayerWeights) -> tuple[str, ...]:
    """What the layer's blobs are called in safetensors."""
    if not layer.keys_are_indices or layer.has_gap:
        return layer.blob_keys
    known = (names for names in _PARAMS.get(layer.type, ()) if len(names) == len(layer.blobs))
    return next(known, layer.blob_keys)


def _key(layer: str, param: str) -> str:
    return f"{layer}.{param}" if layer else param


def _floats(key: str, array: NDArray[Any]) -> Floats:
    with inside(f'tensor "{key}"'):
        return to_float32(array)


def _listed(layers: Mapping[str, Mapping[str, Floats]]) -> set[str]:
    return {_key(layer, param) for layer, params in layers.items() for param in params}


def _layer(name: str, kind: str | None, params: Mapping[str, Floats]) -> LayerWeights:
    """A layer; without netdef's metadata (`kind` None) its parameters are put in the usual order."""
    keys = list(params) if kind is not None else sorted(params, key=lambda key: _FIRST.get(key, len(_FIRST)))
    return LayerWeights(name, kind or "", tuple(params[key] for key in keys), keys=tuple(keys))


def _order(metadata: Mapping[str, str]) -> list[tuple[str, str, list[str]]]:
    """Netdef's list of layers; empty for a file of another writer."""
    try:
        found = json.loads(metadata.get(_LAYERS, "[]"))
        return [(str(name), str(kind), [str(param) for param in params]) for name, kind, params in found]
    except (ValueError, TypeError, RecursionError) as fault:
        raise Damaged(f"the list of layers in the metadata is damaged: {fault}", code="ND0606") from fault
