"""One layer from a line of prototxt, run in torch, or in ONNX Runtime with sizes that the model doesn't know."""

from __future__ import annotations

from itertools import count
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, fx

from netdef.deploy import runtime
from netdef.diagnostics import Source
from netdef.graph import Options, load
from netdef.ir import Graph, Phase, Shape
from netdef.layers.record import Value
from netdef.targets.onnx.builder import Builder
from netdef.targets.torch import build_module
from tests.layer_decoding import made

Array = NDArray[Any]


def built(body: str, phase: Phase = "TRAIN", **bottoms: tuple[int, ...]) -> tuple[fx.GraphModule, Graph]:
    """The module and the graph of a net of that layer alone; `bottoms` tells the shapes of its inputs by name."""
    inputs = "".join(
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for name, shape in bottoms.items()
    )
    graph = load(Source("net.prototxt", f'{inputs}layer {{ name: "l" {body} }}'), Options(phase=phase))
    return build_module(graph, outputs=[blob.id for blob in graph.layers["l"].tops]), graph


def run(body: str, phase: Phase = "TRAIN", **bottoms: Tensor) -> list[Tensor]:
    """The tops of the layer."""
    module, graph = built(body, phase, **{name: tuple(value.shape) for name, value in bottoms.items()})
    tops = module(**bottoms)
    return [tops[blob.id] for blob in graph.layers["l"].tops]


def run_onnx(body: str, x: Array, *, opset: int, unknown: tuple[int, ...]) -> list[Array]:
    """The tops of a layer without parameters, in ONNX Runtime; the axes `unknown` of its bottom are free."""
    layer, names = made(body), count()
    shape = Shape(tuple(None if axis in unknown else size for axis, size in enumerate(x.shape)))
    builder = Builder("l", (), (), {}, opset=opset, phase="TEST", fresh=lambda name: f"{name}_{next(names)}")
    tops = layer.onnx(builder, (Value("x", shape),))
    nodes = [helper.make_node(op.type, op.inputs, op.outputs, **dict(op.attributes)) for op in builder.ops]
    outputs = [_info(top.name, sizes) for top, sizes in zip(tops, layer.infer((shape,)), strict=True)]
    tensors = [numpy_helper.from_array(array, name) for name, array in builder.constants.items()]
    opsets = [helper.make_opsetid("", opset)]
    graph = helper.make_graph(nodes, "net", [_info("x", shape)], outputs, tensors)
    model = helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    onnx.checker.check_model(model, full_check=True)
    found = runtime.session(model)({"x": x})
    return [found[top.name] for top in tops]


def _info(name: str, shape: Shape) -> onnx.ValueInfoProto:
    dims = [f"{name}_{axis}" if size is None else size for axis, size in enumerate(shape.sizes)]
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)
