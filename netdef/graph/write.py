"""From a graph back to the message of a net: the layers' own messages, with what the passes changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Set
from typing import Any

from netdef.ir import Graph, Node
from netdef.layers.filled import Filled
from netdef.schema import netdef_pb2 as pb

Messages = Mapping[str, Any]
"""The LayerParameter of each node of a compiled net, by node id; `Any`, as protobuf makes its classes at run time."""

_TRAINING = ("include", "exclude", "phase", "loss_weight", "propagate_down", "blobs", "transform_param")
"""Fields of a layer that say nothing in a net that is deployed."""


def to_message(graph: Graph, messages: Messages, *, batch: int | None = None) -> Any:
    """The NetParameter that compiles to a deployed graph, as a person would have written it.

    Each layer is its own message, without what only training asks for; a layer that a pass has made gets a new one.

    Args:
        graph: a graph in its deploy form, or what a pass has made of it.
        messages: the layers' messages, by node id.
        batch: the batch size of inputs that were data layers; as it was there if None.
    """
    net = pb.NetParameter(name=graph.name)
    names = _names(graph)
    read = {blob.id for node in graph.nodes if not _is_written(node, messages) for blob in node.tops}
    owned = Counter(param.shared_name for node in graph.nodes for param in node.params)
    shared = frozenset(name for name, count in owned.items() if count > 1)
    for node in graph.nodes:
        layer = _layer(node, messages.get(node.id), names, shared)
        if batch is not None:
            _set_rows(layer, node, read, batch)
        net.layer.append(layer)
    return net


def _is_written(node: Node, messages: Messages) -> bool:
    """Whether the node is of the type that its message has."""
    return node.id in messages and messages[node.id].type == node.type


def _set_rows(message: Any, node: Node, read: Set[str], batch: int) -> None:
    """Give an Input that was a data layer (its top is in `read`), and what is as long as its batch, so many rows."""
    layer = node.layer
    if node.type == "Input" and node.tops[0].id in read:
        for shape in message.input_param.shape:
            shape.dim[0] = batch
    elif isinstance(layer, Filled) and layer.axis is not None and node.bottoms[0].id in read:
        message.dummy_data_param.shape[0].dim[layer.axis] = batch


def _layer(node: Node, original: Any, names: Mapping[str, str], shared: Set[str]) -> Any:
    message = pb.LayerParameter()
    written = original is not None and original.type == node.type
    if written:
        message.CopyFrom(original)
    for field in (*_TRAINING, "bottom", "top"):
        message.ClearField(field)
    message.name, message.type = node.name, node.type
    message.bottom.extend(names[blob.id] for blob in node.bottoms)
    message.top.extend(names[blob.id] for blob in node.tops)
    _keep_shared(message, shared)
    if node.type in _CHANGES:
        _CHANGES[node.type](message, node.layer)
    return message


def _keep_shared(message: Any, shared: Set[str]) -> None:
    """Of `param` only the names by which layers share: rates are for training."""
    names = [param.name if param.name in shared else "" for param in message.param]
    message.ClearField("param")
    if any(names):
        message.param.extend(pb.ParamSpec(name=name) if name else pb.ParamSpec() for name in names)


def _input(message: Any, layer: Any) -> None:
    message.ClearField("input_param")
    for shape in layer.shapes:
        message.input_param.shape.add(dim=[1 if size is None else size for size in shape.sizes])


def _filled(message: Any, layer: Any) -> None:
    """One top of a DummyData, which may have had several."""
    message.ClearField("bottom")  # it tells the batch alone
    message.ClearField("dummy_data_param")
    message.dummy_data_param.shape.add(dim=layer.shape.known_sizes())
    message.dummy_data_param.data_filler.add(type="constant", value=layer.value)


def _parameter(message: Any, layer: Any) -> None:
    message.ClearField("parameter_param")
    message.parameter_param.shape.dim.extend(layer.shape.known_sizes())


def _softmax(message: Any, layer: Any) -> None:
    if layer.axis != message.softmax_param.axis:
        message.softmax_param.axis = layer.axis


def _bias(field: str) -> Callable[[Any, Any], None]:
    def change(message: Any, layer: Any) -> None:
        """State `bias_term` where the message says another thing; where it is the default, by silence."""
        param = getattr(message, field)
        if param.bias_term != layer.bias_term:
            param.ClearField("bias_term")
        if param.bias_term != layer.bias_term:
            param.bias_term = layer.bias_term

    return change


def _span(field: str) -> Callable[[Any, Any], None]:
    def change(message: Any, layer: Any) -> None:
        """State the axes of the factor where they are not those of the message."""
        param = getattr(message, field)
        for name in ("axis", "num_axes"):
            value = getattr(layer.span, name)
            if getattr(param, name) != value:
                setattr(param, name, value)

    return change


def _scale(message: Any, layer: Any) -> None:
    _bias("scale_param")(message, layer)
    _span("scale_param")(message, layer)


_CHANGES: dict[str, Callable[[Any, Any], None]] = {
    "Input": _input,
    "DummyData": _filled,
    "Parameter": _parameter,
    "Softmax": _softmax,
    "Convolution": _bias("convolution_param"),
    "Deconvolution": _bias("convolution_param"),
    "InnerProduct": _bias("inner_product_param"),
    "Scale": _scale,
    "Bias": _span("bias_param"),
}
"""How a decoded layer's fields get into its message, for the types that passes make or change."""


def _names(graph: Graph) -> dict[str, str]:
    """What each blob is called in the text: Caffe's name of it, unless that would hide a value that is read later."""
    reads = Counter(blob.id for node in graph.nodes for blob in node.bottoms)
    reads.update(blob.id for blob in graph.outputs)
    taken: set[str] = set()
    names: dict[str, str] = {}
    for node in graph.nodes:
        reads.subtract(blob.id for blob in node.bottoms)
        for index, blob in enumerate(node.tops):
            over = node.bottoms[index].id if index < len(node.bottoms) else ""
            may = node.layer.in_place and names.get(over) == blob.name and not reads[over]
            names[blob.id] = blob.name if may or blob.name not in taken else _fresh(f"{blob.name}_{node.id}", taken)
            taken.add(names[blob.id])
    return names


def _fresh(name: str, taken: set[str]) -> str:
    return name if name not in taken else _fresh(f"{name}_", taken)
