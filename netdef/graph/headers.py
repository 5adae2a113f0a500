"""Pass: the net's own `input` fields become Input layers, so that later passes meet only one kind of input."""

from __future__ import annotations

from dataclasses import replace

from netdef.diagnostics import error
from netdef.graph.draft import Draft, Written
from netdef.schema import netdef_pb2 as pb


def headers(draft: Draft) -> Draft:
    """List the layers of the message, with an Input layer in front for each `input` (Caffe's upgrade_proto.cpp)."""
    net = draft.message
    written = tuple(Written(message, draft.where.sub("layer", i)) for i, message in enumerate(net.layer))
    if not net.input:
        return replace(draft, written=written)
    sizes = _sizes(draft)
    inputs = tuple(_input_layer(draft, i, name, sizes) for i, name in enumerate(net.input))
    return replace(draft, written=inputs + written)


def _sizes(draft: Draft) -> list[tuple[int, ...]]:
    """The shape of each `input`: from `input_shape`, or from `input_dim`, four for each."""
    net = draft.message
    count = len(net.input)
    if net.input_dim and net.input_shape:
        _reject(draft, "input_dim", "`input_dim` and `input_shape` cannot both be given")
    if net.input_shape:
        if len(net.input_shape) != count:
            _reject(
                draft,
                "input_shape",
                f"{count} `input` fields need {count} `input_shape`, found {len(net.input_shape)}",
            )
        return [tuple(shape.dim) for shape in net.input_shape]
    if len(net.input_dim) not in (0, 4 * count):
        message = f"{count} `input` fields need {4 * count} `input_dim` (four each), found {len(net.input_dim)}"
        _reject(draft, "input_dim", message)
    dims = tuple(net.input_dim)
    return [dims[i : i + 4] for i in range(0, len(dims), 4)]


def _input_layer(draft: Draft, index: int, name: str, sizes: list[tuple[int, ...]]) -> Written:
    message = pb.LayerParameter(name=name, type="Input", top=[name])
    if index < len(sizes):
        message.input_param.shape.add(dim=sizes[index])
    return Written(message, draft.where.alias("input", index, "name", "top"))


def _reject(draft: Draft, name: str, message: str) -> None:
    draft.found.append(error("ND0311", message, span=draft.where.field(name)))
