"""From the graph to an ONNX model: not traced, so that names are the prototxt's and the bytes the same each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

import numpy as np
import onnx
from onnx import helper

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.graph.deploy import demand_work
from netdef.ir import Blob, Graph, Node, Shape
from netdef.layers import Layer, Unsupported
from netdef.layers.record import Value
from netdef.targets.onnx.batch import batch_axes, image_inputs, sizes
from netdef.targets.onnx.builder import Array, Builder, Op
from netdef.targets.onnx.names import value_names

BATCH = "batch"
"""The name of the free batch axis in the model's inputs and outputs."""

PLANE = ("height", "width")
"""The names of the free axes of images."""


@dataclass(slots=True)
class Emission:
    """A model while it is being written.

    Attributes:
        graph: what is emitted.
        opset: version of the operator set.
        shapes: shape of each blob by id, None where the batch decides.
        axes: the axis of each blob that is the free batch.
        names: the name of each blob in the model, by id.
        initializers: the name of each parameter's tensor, by the parameter's id.
        taken: the name of every value.
        titles: the name of every node; ONNX Runtime wants them unique too.
        images: the ids of the inputs whose height and width are free.
    """

    graph: Graph
    opset: int
    shapes: dict[str, Shape]
    axes: dict[str, int]
    names: dict[str, str] = field(default_factory=dict)
    initializers: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    titles: set[str] = field(default_factory=set)
    images: frozenset[str] = frozenset()
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[tuple[str, Array]] = field(default_factory=list)
    found: list[Diagnostic] = field(default_factory=list)

    def fresh(self, wish: str) -> str:
        """A name for a value: `wish`, or `wish_1` and so on if that is taken."""
        return _fresh(self.taken, wish)


def emit(
    graph: Graph,
    arrays: Mapping[str, Array],
    *,
    opset: int,
    batch: int | None = None,
    any_size: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The model of `graph` (in its deploy form) with the parameters `arrays`, by their ids, in Caffe's shapes.

    Inputs and blobs are called as `value_names` tells, parameters by their ids (``conv1.weight``, stored once however
    often shared), nodes by their layer's name, with the place it was written at. The batch axis is free unless `batch`
    fixes it; with `any_size`, height and width of the images are free too. Only ai.onnx operators are used; equal
    arguments give equal bytes.

    Raises:
        NetdefError: a layer has no meaning in ONNX (ND0901), a size is unknown (ND0904), the batch cannot be free
            (ND0905) or the size of images (ND0919), there is nothing to compute (ND0906).
    """
    demand_work(graph)
    shapes = sizes(graph, batch, any_size=any_size)
    emission = Emission(graph, opset, shapes, batch_axes(graph) if batch is None else {})
    emission.images = frozenset(blob.id for blob in image_inputs(graph)) if any_size else frozenset()
    _reserve(emission)
    for param in graph.params.values():
        array = np.asarray(arrays[param.id], np.float32, order="C")  # ascontiguousarray gives a scalar an axis
        emission.tensors.append((emission.initializers[param.id], array))
    for node in graph.nodes:
        if not _is_input(graph, node):
            _emit_node(emission, node)
    if emission.found:
        raise NetdefError(emission.found)
    return _model(emission, dict(metadata or {}))


def netdef_version() -> str:
    """The installed netdef's version; a bare checkout has none."""
    try:
        return version("netdef")
    except PackageNotFoundError:
        return "0"


def _fresh(taken: set[str], wish: str) -> str:
    name, count = wish, 0
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    taken.add(name)
    return name


def _is_input(graph: Graph, node: Node) -> bool:
    return not node.bottoms and any(blob in graph.inputs for blob in node.tops)


def _reserve(emission: Emission) -> None:
    """Give blobs, parameters and layers their names before anything else can take them."""
    emission.titles.update(emission.graph.layers)
    for id, name in value_names(emission.graph).items():
        emission.names[id] = emission.fresh(name)
    for id in emission.graph.params:
        emission.initializers[id] = emission.fresh(id)


def _emit_node(emission: Emission, node: Node) -> None:
    builder = Builder(
        node.id,
        node.specs,
        node.params,
        emission.initializers,
        opset=emission.opset,
        phase=emission.graph.phase,
        fresh=emission.fresh,
    )
    bottoms = tuple(Value(emission.names[blob.id], emission.shapes[blob.id]) for blob in node.bottoms)
    try:
        tops = cast(Layer, node.layer).onnx(builder, bottoms)
    except Unsupported as why:
        emission.found.append(_unsupported(node, why))
        return
    _name_tops(emission, node, builder, tops)
    emission.tensors += builder.constants.items()
    emission.nodes += _protos(node, builder.ops, emission)


def _unsupported(node: Node, why: Unsupported) -> Diagnostic:
    span = node.places.type or node.places.layer
    return error(why.code, f'"{node.name}": {why}', span=span, help=why.help)


def _name_tops(emission: Emission, node: Node, builder: Builder, tops: tuple[Value, ...]) -> None:
    """Rename what the rule returned to the blobs' names; what it only handed through gets an Identity."""
    final: dict[str, str] = {}
    made = {name for op in builder.ops for name in op.outputs}
    for blob, top in zip(node.tops, tops, strict=True):
        name = emission.names[blob.id]
        if top.name in made and top.name not in final:
            final[top.name] = name
        else:
            builder.ops.append(Op("Identity", (top.name,), (name,), ()))
    builder.ops[:] = [
        Op(
            op.type,
            tuple(final.get(name, name) for name in op.inputs),
            tuple(final.get(name, name) for name in op.outputs),
            op.attributes,
        )
        for op in builder.ops
    ]


def _protos(node: Node, ops: list[Op], emission: Emission) -> list[onnx.NodeProto]:
    """The layer's nodes: the one that makes its first top bears its name, the others `name/Type`."""
    span = node.places.layer
    doc = f"{Path(span.source.name).name}:{span.line}" if span else None
    top = emission.names[node.tops[0].id] if node.tops else None
    protos = []
    for op in ops:
        name = node.id if top in op.outputs else _fresh(emission.titles, f"{node.id}/{op.type}")
        proto = helper.make_node(op.type, op.inputs, op.outputs, name=name, doc_string=doc)
        proto.attribute.extend(helper.make_attribute(key, value) for key, value in op.attributes)
        protos.append(proto)
    return protos


def _model(emission: Emission, metadata: dict[str, str]) -> onnx.ModelProto:
    graph = emission.graph
    ends = {blob.id for blob in (*graph.inputs, *graph.outputs)}
    inner = [blob for blob in graph.blobs.values() if blob.id not in ends and emission.shapes[blob.id].ranked]
    proto = helper.make_graph(
        emission.nodes,
        graph.name or "net",
        [_info(emission, blob) for blob in graph.inputs],
        [_info(emission, blob) for blob in graph.outputs],
        value_info=[_info(emission, blob) for blob in inner],
    )
    opsets = [helper.make_opsetid("", emission.opset)]
    model = helper.make_model(
        proto,
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="netdef",
        producer_version=netdef_version(),
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    for name, array in emission.tensors:  # not through the helpers, each of which copies all of them
        tensor = model.graph.initializer.add(name=name, dims=array.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return model


def _info(emission: Emission, blob: Blob) -> onnx.ValueInfoProto:
    shape = emission.shapes[blob.id]
    dims: list[int | str | None] | None = None if shape.dims is None else list(shape.dims)
    if dims and blob.id in emission.axes:
        dims[emission.axes[blob.id]] = BATCH
    if dims and blob.id in emission.images:
        dims[2:] = PLANE
    return helper.make_tensor_value_info(emission.names[blob.id], onnx.TensorProto.FLOAT, dims)
