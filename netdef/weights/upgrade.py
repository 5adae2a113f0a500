"""How does a .caffemodel of 2013 or 2014 become one of today's layout?

The layers' settings take the way that texts take (Caffe's upgrade_net_proto_binary keeps them as well): the file's
message without its arrays is printed, upgraded and bound as a text, and the arrays are put back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from google.protobuf import text_format  # noqa: TID251 - it prints here, and nothing is read with it
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from netdef.diagnostics import Diagnostic, Source, has_errors, warning
from netdef.files import PathLike, replacing
from netdef.schema import netdef_pb2 as pb
from netdef.schema.bind import bind
from netdef.schema.upgrade import upgrade_batch_norms, upgrade_inputs, upgrade_net
from netdef.text import parse
from netdef.weights.caffemodel import read, write_layer
from netdef.weights.faults import reported
from netdef.weights.model import LayerWeights, Weights
from netdef.weights.narrow import Floats
from netdef.weights.read import WEIGHTS, expect, is_hdf5, mapped
from netdef.weights.tensors import looks_like
from netdef.weights.wire import Wire, header

_NUM_AXES = {"Convolution": (4, 1), "Deconvolution": (4, 1), "InnerProduct": (2, 1)}
"""How many axes the weights and the bias of a type have today; before 2014 all had four."""


@dataclass(frozen=True, slots=True)
class UpgradedWeights:
    """What came of a file: whether it was old, how many layers were written, and what could not be brought over."""

    changed: bool
    num_layers: int
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class _Pruned:
    """A message's fields to leave out, and those whose own fields are pruned."""

    dropped: frozenset[int] = frozenset()
    inner: Mapping[int, _Pruned] = field(default_factory=dict)


_V0 = _Pruned(frozenset({pb.V0LayerParameter.BLOBS_FIELD_NUMBER}))
_V1 = _Pruned(frozenset({pb.V1LayerParameter.BLOBS_FIELD_NUMBER}), {pb.V1LayerParameter.LAYER_FIELD_NUMBER: _V0})
_V2 = _Pruned(frozenset({pb.LayerParameter.BLOBS_FIELD_NUMBER}))
_NET = _Pruned(
    inner={pb.NetParameter.LAYERS_FIELD_NUMBER: _V1, pb.NetParameter.LAYER_FIELD_NUMBER: _V2},
)


def upgrade_weights(source: PathLike, target: PathLike) -> UpgradedWeights:
    """Write the weights at `source` to `target` in today's layout, whole or not at all.

    Layers become `layer`, with today's types, settings and blob shapes (an InnerProduct's 1x1xNxK becomes NxK).
    A file of today's layout, HDF5 and safetensors are copied as they are. Gradients (`diff`) are left out.
    Warnings: ND0618 where the settings cannot be brought over. Errors: as `read_weights`.
    """
    name = os.fspath(source)
    with reported(name):
        data = mapped(name)
        expect(name, data, WEIGHTS)
        weights = None if is_hdf5(data) or looks_like(data) else read(name, Wire(data))
        if weights is None or not _is_old(weights, Wire(data)):
            _copy(name, os.fspath(target))
            return UpgradedWeights(False, len(weights.layers) if weights else 0)
        net, found = _settings(weights, Wire(data))
    heads = list(_joined(net, weights))
    with reported(target), replacing(target) as stream:
        stream.write(_head(net))
        for head, layer in heads:
            write_layer(stream, head, [_today(blob, i, layer) for i, blob in enumerate(layer.blobs)])
    return UpgradedWeights(True, len(heads), found)


def _is_old(weights: Weights, wire: Wire) -> bool:
    layers = any(f.number == pb.NetParameter.LAYERS_FIELD_NUMBER for f in wire.fields(0, len(wire.data)))
    return layers or any(layer.legacy for layer in weights.layers)


def _copy(source: str, target: str) -> None:
    if os.path.realpath(source) != os.path.realpath(target):
        with reported(target), replacing(target) as stream, open(source, "rb") as original:  # noqa: PTH123
            shutil.copyfileobj(original, stream)


def _settings(weights: Weights, wire: Wire) -> tuple[pb.NetParameter, tuple[Diagnostic, ...]]:
    """The net without its arrays, in today's schema; the bare names and types where that cannot be."""
    try:
        net = pb.NetParameter.FromString(_without(wire, 0, len(wire.data), _NET))
    except DecodeError as fault:
        return _bare(weights), (_lost(weights.path, str(fault)),)
    document = parse(Source(weights.path, text_format.MessageToString(net))).document
    upgraded = upgrade_net(document)
    bound = bind(upgrade_batch_norms(upgrade_inputs(upgraded.document)), pb.NetParameter)
    errors = [d for d in (*upgraded.diagnostics, *bound.diagnostics) if has_errors([d])]
    if errors:
        return _bare(weights), (_lost(weights.path, errors[0].message),)
    foreign = any(len(UnknownFieldSet(layer)) for layer in (*net.layer, *net.layers))
    return bound.message, (_lost(weights.path, "fields of a fork"),) if foreign else ()


def _bare(weights: Weights) -> pb.NetParameter:
    layers = [pb.LayerParameter(name=layer.name, type=layer.type) for layer in _kept(weights)]
    return pb.NetParameter(name=weights.net_name, layer=layers)


def _lost(path: str, why: str) -> Diagnostic:
    message = f"{path}: not all settings of its layers can be brought over: {why}"
    return warning("ND0618", message, help="names, types and arrays are whole; the net's own file has the settings")


def _without(wire: Wire, start: int, end: int, pruned: _Pruned) -> bytes:
    """The message in bytes `start` to `end` without what is pruned."""
    out, at = bytearray(), start
    for found in wire.fields(start, end):
        if found.number in pruned.inner:
            inner = _without(wire, found.start, found.end, pruned.inner[found.number])
            out += header(found.number, len(inner)) + inner
        elif found.number not in pruned.dropped:
            out += wire.data[at : found.end]
        at = found.end
    return bytes(out)


def _kept(weights: Weights) -> Iterator[LayerWeights]:
    """The layers that have a place today: padding layers of 2013 went into the pad of the layer behind them."""
    return (layer for layer in weights.layers if layer.type != "padding")


def _joined(net: pb.NetParameter, weights: Weights) -> Iterator[tuple[bytes, LayerWeights]]:
    """Each layer of the upgraded net, with the arrays that stood in it; an Input layer made of `input` has none."""
    held = list(_kept(weights))
    for layer in net.layer:
        if held and held[0].name == layer.name and (layer.type != "Input" or held[0].type == "Input"):
            arrays = held.pop(0)
        else:
            arrays = LayerWeights(layer.name, layer.type)
        yield layer.SerializeToString(), LayerWeights(layer.name, layer.type, arrays.blobs, legacy=arrays.legacy)
    assert not held, "an upgrade keeps every layer, in the order of the file"


def _head(net: pb.NetParameter) -> bytes:
    head = pb.NetParameter()
    head.CopyFrom(net)
    del head.layer[:]
    return head.SerializeToString()


def _today(blob: Floats, index: int, layer: LayerWeights) -> Floats:
    """The array in today's number of axes, where it had four with ones in front."""
    axes = _NUM_AXES.get(layer.type, ())
    if index not in layer.legacy or index >= len(axes) or any(size != 1 for size in blob.shape[: -axes[index]]):
        return blob
    return blob.reshape(blob.shape[-axes[index] :])
