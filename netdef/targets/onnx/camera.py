"""Which nodes let a model take images as cameras give them, and return the best classes?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Layout = Literal["NHWC", "NCHW"]
FRONT, BACK = "preprocess", "top_k"
"""Begin the names of nodes and constants, and are the nodes' doc strings, by which `core` knows them."""


@dataclass(frozen=True, slots=True)
class Camera:
    """How an image becomes the net's input, ``(flip(crop(resize(image))) - mean) * scale``.

    Attributes:
        layout: of the image, batch x height x width x channels or batch x channels x height x width.
        resize: height and width before the crop; None where images come in the size that is cropped from.
        crop: first row, first column, height, width of what is kept; None where all is.
        flip: whether the net's channels are in the opposite order of the image's.
        mean: what is subtracted, in the net's order of channels; broadcasts to C x H x W.
        scale: what the difference is multiplied by.
    """

    layout: Layout
    resize: tuple[int, int] | None
    crop: tuple[int, int, int, int] | None
    flip: bool
    mean: Array | None
    scale: float


def add_camera(model: onnx.ModelProto, camera: Camera) -> str:
    """Let the model's only input be uint8 images; returns its new name, the old one being what the net still reads."""
    graph = model.graph
    (old,) = graph.input
    batch, channels, height, width = (_dim(dim) for dim in old.type.tensor_type.shape.dim)
    if camera.resize:
        height, width = "height", "width"
    image = _fresh(graph, "image")
    dims = (batch, height, width, channels) if camera.layout == "NHWC" else (batch, channels, height, width)
    nodes = [*_front(graph, image, camera)]
    nodes[-1].output[0] = old.name
    everything = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(everything)
    graph.value_info.append(old)
    graph.input[0].CopyFrom(helper.make_tensor_value_info(image, TensorProto.UINT8, dims))
    return image


def _front(graph: onnx.GraphProto, image: str, camera: Camera) -> Iterator[onnx.NodeProto]:
    """The nodes from the image on, each reading the one before."""
    last = image

    def step(type: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
        nonlocal last
        before, last = last, f"{FRONT}/{type}"
        return helper.make_node(type, [before, *inputs], [last], name=last, doc_string=FRONT, **attributes)

    def constant(name: str, values: Any, dtype: Any = np.int64) -> str:
        return _constant(graph, f"{FRONT}/{name}", np.asarray(values, dtype))

    yield step("Cast", to=TensorProto.FLOAT)
    if camera.layout == "NHWC":
        yield step("Transpose", perm=[0, 3, 1, 2])
    if camera.resize:
        sizes = f"{FRONT}/sizes"
        yield from _sizes(last, sizes, constant("none", [0]), constant("two", [2]), constant("size", camera.resize))
        yield step("Resize", "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
        yield step("Round")  # pixels are whole numbers, as in the files that the net was trained on
    if camera.crop:
        y, x, rows, columns = camera.crop
        ends = constant("ends", [y + rows, x + columns])
        yield step("Slice", constant("starts", [y, x]), ends, constant("axes", [2, 3]))
    if camera.flip:
        yield step("Gather", constant("order", [2, 1, 0]), axis=1)
    if camera.mean is not None:
        yield step("Sub", constant("mean", camera.mean, np.float32))
    if camera.scale != 1.0:
        yield step("Mul", constant("scale", camera.scale, np.float32))


def _sizes(image: str, result: str, first: str, last: str, plane: str) -> Iterator[onnx.NodeProto]:
    """Batch and channels as they are, height and width as they shall be."""
    names = [f"{FRONT}/{type}" for type in ("Shape", "BatchAndChannels")]
    yield helper.make_node("Shape", [image], names[:1], name=names[0], doc_string=FRONT)
    yield helper.make_node("Slice", [names[0], first, last], names[1:], name=names[1], doc_string=FRONT)
    yield helper.make_node("Concat", [names[1], plane], [result], name=result, doc_string=FRONT, axis=0)


def add_top_k(model: onnx.ModelProto, scores: str, count: int) -> tuple[str, str]:
    """Give the `count` best scores and their indices in the place of the output `scores`; returns their names.

    Of equal scores the first comes first. Both are batch x count.
    """
    graph = model.graph
    place = [info.name for info in graph.output].index(scores)
    old = onnx.ValueInfoProto()
    old.CopyFrom(graph.output[place])
    dims = [_dim(dim) for dim in old.type.tensor_type.shape.dim]
    best, indices = _fresh(graph, "scores"), _fresh(graph, "indices")
    flat = scores
    if len(dims) > 2:
        flat = f"{BACK}/Flatten"
        graph.node.append(helper.make_node("Flatten", [scores], [flat], name=flat, doc_string=BACK, axis=1))
    k = _constant(graph, f"{BACK}/k", np.array([count], np.int64))
    graph.node.append(helper.make_node("TopK", [flat, k], [best, indices], name=BACK, doc_string=BACK, axis=1))
    graph.value_info.append(old)
    outputs = [*graph.output]
    outputs[place : place + 1] = [
        helper.make_tensor_value_info(best, TensorProto.FLOAT, [dims[0], count]),
        helper.make_tensor_value_info(indices, TensorProto.INT64, [dims[0], count]),
    ]
    del graph.output[:]
    graph.output.extend(outputs)
    return best, indices


def core(model: onnx.ModelProto) -> onnx.ModelProto:
    """The net alone, without what `add_camera` and `add_top_k` have put around it."""
    added = {node.doc_string for node in model.graph.node} & {FRONT, BACK}
    if not added:
        return model
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    graph = bare.graph
    stated = {info.name: info for info in graph.value_info}
    made = {name: node.doc_string for node in model.graph.node for name in node.output}
    judged = {name for node in model.graph.node if node.doc_string == BACK for name in node.input}
    inner = [node for node in model.graph.node if node.doc_string not in added]
    inputs = [stated[name] for node in inner for name in node.input if made.get(name) == FRONT]
    outputs = [stated[name] for node in inner for name in node.output if name in judged]
    _replace(graph.node, inner)
    _replace(graph.input, {info.name: info for info in inputs}.values() if inputs else model.graph.input)
    _replace(graph.output, [*outputs, *(info for info in model.graph.output if made[info.name] != BACK)])
    return bare


def _replace(field: Any, items: Any) -> None:
    """Fill a repeated field anew; copies, since what is put in may stand in it already."""
    kept = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(kept)


def _constant(graph: onnx.GraphProto, name: str, array: Array) -> str:
    graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def _fresh(graph: onnx.GraphProto, wish: str) -> str:
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {info.name for info in (*graph.input, *graph.output)}
    return next(name for name in (wish, *(f"{wish}_{i}" for i in range(1, len(taken) + 2))) if name not in taken)


def _dim(dim: Any) -> int | str | None:
    return dim.dim_param or dim.dim_value or None
