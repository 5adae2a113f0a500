"""How does a NetParameter become a picture?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from netdef.diagnostics import NetdefError, error
from netdef.files import write_atomic
from netdef.pycaffe import mode
from netdef.schema import netdef_pb2 as pb

_COLOURS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "InnerProduct": "#CC33FF",
    "Pooling": "#FF9900",
}
_PLAIN = "#6495ED"
_BLOB = "#E0E0E0"


def draw_net_to_file(
    caffe_net: Any,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw a net into a file: DOT text for the endings .dot and .gv, else a picture of the ending's format.

    Args:
        caffe_net: a NetParameter.
        filename: where to.
        rankdir: "LR" from left to right, "TB" from top to bottom.
        phase: caffe.TRAIN or caffe.TEST to leave the other's layers out.
        display_lrm: whether labels show the factors on the learning rate.

    Raises:
        NetdefError: ND1016, Graphviz, which makes pictures, is not there; ND0013, the file cannot be written.
    """
    ending = Path(filename).suffix[1:].lower()
    text = net_to_dot(caffe_net, rankdir, phase, display_lrm)
    data = text.encode() if ending in ("dot", "gv") else _rendered(text, ending or "png")
    try:
        write_atomic(filename, data)
    except OSError as fault:
        raise NetdefError([error("ND0013", f"cannot write {os.fspath(filename)}: {fault.strerror}")]) from fault


def draw_net(
    caffe_net: Any, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """A picture of a net in the format `ext`, as bytes."""
    return _rendered(net_to_dot(caffe_net, rankdir, phase, display_lrm), ext)


def get_pydot_graph(*_: Any, **__: Any) -> NoReturn:
    """Refused: netdef does not use pydot; `net_to_dot` gives the same graph as text."""
    mode.refuse("get_pydot_graph", "net_to_dot(net) gives the graph as DOT text")


def net_to_dot(caffe_net: Any, rankdir: str = "LR", phase: int | None = None, display_lrm: bool = False) -> str:
    """A net in Graphviz's language: boxes for layers, ovals for blobs; layers in place stand beside theirs."""
    layers = [layer for layer in caffe_net.layer if phase is None or _takes_part(layer, phase)]
    lines = [f"  {line};" for index, layer in enumerate(layers) for line in _lines(index, layer, display_lrm)]
    blobs = dict.fromkeys(name for layer in layers for name in (*layer.bottom, *layer.top))
    style = f"shape=octagon, style=filled, fillcolor={_quoted(_BLOB)}"
    ovals = [f"  {_blob(name)} [label={_quoted(name)}, {style}];" for name in blobs]
    head = f"digraph {_quoted(caffe_net.name or 'net')} {{"
    return "\n".join([head, f"  rankdir={rankdir};", "  node [fontsize=10];", *ovals, *lines, "}", ""])


def _lines(index: int, layer: Any, display_lrm: bool) -> Iterator[str]:
    in_place = list(layer.top) == list(layer.bottom)
    colour = _quoted("#90EE90" if in_place else _COLOURS.get(layer.type, _PLAIN))
    node = f"layer{index}"
    yield f"{node} [label={_quoted(_label(layer, display_lrm))}, shape=box, style=filled, fillcolor={colour}]"
    for name in layer.bottom:
        yield f"{_blob(name)} -> {node}" + (" [dir=both]" if in_place else "")
    for name in layer.top if not in_place else ():
        width = _edge(layer)
        yield f"{node} -> {_blob(name)}" + (f" [label={_quoted(width)}]" if width else "")


def _label(layer: Any, display_lrm: bool) -> str:
    parts = [layer.name, f"({layer.type})"]
    window = {"Convolution": "convolution_param", "Deconvolution": "convolution_param", "Pooling": "pooling_param"}
    if layer.type in window:
        parts += _window(getattr(layer, window[layer.type]))
    if display_lrm and layer.param:
        parts.append("lr_mult " + ", ".join(f"{param.lr_mult:g}" for param in layer.param))
    return "\n".join(parts)


def _window(param: Any) -> list[str]:
    """Kernel, stride and pad where they are stated."""
    found = []
    if isinstance(param, pb.PoolingParameter):
        found.append(pb.PoolingParameter.PoolMethod.Name(param.pool))
    for name in ("kernel_size", "stride", "pad"):
        sizes = _sizes(param, name)
        if sizes:
            found.append(f"{name.removesuffix('_size')} {'x'.join(map(str, sizes))}")
    return found


def _sizes(param: Any, name: str) -> list[int]:
    stem = name.removesuffix("_size")
    if param.HasField(f"{stem}_h"):
        return [getattr(param, f"{stem}_h"), getattr(param, f"{stem}_w")]
    if param.DESCRIPTOR.fields_by_name[name].is_repeated:
        return list(getattr(param, name))
    return [getattr(param, name)] if param.HasField(name) else []


def _edge(layer: Any) -> str:
    """How wide a top is, where the layer says so."""
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    return str(layer.inner_product_param.num_output) if layer.type == "InnerProduct" else ""


def _takes_part(layer: Any, phase: int) -> bool:
    if layer.include:
        return any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def _blob(name: str) -> str:
    return _quoted(f"blob {name}")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _rendered(text: str, format: str) -> bytes:
    try:
        graphviz: Any = import_module("graphviz")
    except ImportError as missing:
        raise _no_graphviz("the Python package `graphviz` is not installed") from missing
    try:
        return bytes(graphviz.Source(text).pipe(format=format))
    except (graphviz.ExecutableNotFound, graphviz.CalledProcessError, ValueError) as fault:
        raise _no_graphviz(str(fault).strip().splitlines()[0]) from fault


def _no_graphviz(why: str) -> NetdefError:
    help = "pip install 'netdef[viz]' and the program `dot`; a file ending in .dot needs neither"
    return NetdefError([error("ND1016", f"no picture can be made: {why}", help=help)])
