from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from netdef.diagnostics import NetdefError, Source, Span
from netdef.ir import ZERO, Blob, Graph, Node, Param, ParamSpec, Places, Shape
from netdef.layers import Layer, Mismatch, registry
from netdef.targets.onnx import COMMON_OPSET, data_file, emit, save

TEXT = Source("folder/net.prototxt", 'layer { name: "a" }\nlayer { name: "b" }\nlayer { name: "c" }\n')


@dataclass(frozen=True, slots=True)
class Gain(Layer):
    """``x * weight``, the weight having one number for each channel."""

    type: ClassVar[str] = "Gain"
    shape: tuple[int, ...] = (3,)

    @classmethod
    def decode(cls, block):
        return cls()

    def infer(self, bottoms):
        return bottoms

    def params(self, bottoms):
        return (ParamSpec("weight", Shape(self.shape), ZERO),)

    def onnx(self, g, bottoms):
        return (g.op("Mul", bottoms[0], g.param("weight")),)


@dataclass(frozen=True, slots=True)
class Twice(Layer):
    """Two tops: the bottom itself, and ``2 x + 2``, so that one constant is asked for twice."""

    type: ClassVar[str] = "Twice"

    @classmethod
    def decode(cls, block):
        return cls()

    def infer(self, bottoms):
        return bottoms * 2

    def onnx(self, g, bottoms):
        (x,) = bottoms
        return x, g.op("Add", g.op("Mul", x, g.scalar(2)), g.scalar(2))


@dataclass(frozen=True, slots=True)
class Rows(Layer):
    """A layer that takes exactly `count` rows."""

    type: ClassVar[str] = "Rows"
    count: int = 2

    @classmethod
    def decode(cls, block):
        return cls()

    def infer(self, bottoms):
        if bottoms[0][0] not in (None, self.count):
            raise Mismatch(f"{bottoms[0][0]} rows where {self.count} belong")
        return bottoms

    def onnx(self, g, bottoms):
        return (g.op("Identity", bottoms[0]),)


def place(line):
    start = sum(len(text) + 1 for text in TEXT.text.split("\n")[: line - 1])
    return Places(layer=Span(TEXT, start, start + 5))


def blob(id, *dims):
    return Blob(id, id.split("@")[0], Shape(dims))


def node(id, layer, bottoms, tops, params=(), line=1):
    zeros = (0.0,) * len(tops)
    return Node(id, id, layer, tuple(bottoms), tuple(tops), tuple(params), zeros, (False,) * len(bottoms), place(line))


def input_node(*blobs):
    layer = registry()["Input"](shapes=tuple(b.shape for b in blobs))
    return node("in", layer, (), blobs)


def chain(*layers, x=None, params=((),) * 9):
    """x → layer 1 → layer 2 …, the blobs named y1, y2 …"""
    x = x or blob("x", 2, 3)
    nodes, last = [input_node(x)], x
    for index, layer in enumerate(layers):
        top = Blob(f"y{index + 1}", f"y{index + 1}", layer.infer((last.shape,))[0])
        nodes.append(node(f"l{index + 1}", layer, (last,), (top,), params[index], index + 1))
        last = top
    return Graph("tiny", "TEST", tuple(nodes), (x,), (last,))


def run(model, **feeds):
    return ReferenceEvaluator(model).run(None, {k: np.asarray(v, np.float32) for k, v in feeds.items()})


def dims(info):
    return tuple(d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim)


WEIGHT = Param("l1.weight", ParamSpec("weight", Shape((3,)), ZERO))
ARRAY = {"l1.weight": np.array([1.0, 10.0, 100.0], np.float32)}


def test_names_are_the_prototxts():
    graph = chain(Gain(), registry()["ReLU"](), params=((WEIGHT,), ()))
    model = emit(graph, ARRAY, opset=COMMON_OPSET)
    assert [(n.name, n.op_type, list(n.input), list(n.output)) for n in model.graph.node] == [
        ("l1", "Mul", ["x", "l1.weight"], ["y1"]),
        ("l2", "Relu", ["y1"], ["y2"]),
    ]
    assert [t.name for t in model.graph.initializer] == ["l1.weight"]
    assert [n.doc_string for n in model.graph.node] == ["net.prototxt:1", "net.prototxt:2"]
    assert model.graph.name == "tiny"


def test_the_model_computes_and_passes_the_checker():
    graph = chain(Gain(), registry()["ReLU"](), params=((WEIGHT,), ()))
    model = emit(graph, ARRAY, opset=13)
    onnx.checker.check_model(model, full_check=True)
    (y,) = run(model, x=[[1, -1, 2], [0, 3, -1]])
    assert y.tolist() == [[1, 0, 200], [0, 30, 0]]


def test_equal_arguments_give_equal_bytes():
    def data():
        graph = chain(Gain(), registry()["ReLU"](), params=((WEIGHT,), ()))
        return emit(graph, ARRAY, opset=17, metadata={"b": "2", "a": "1"}).SerializeToString()

    assert data() == data()


@pytest.mark.parametrize(("batch", "expected"), [(None, ("batch", 3)), (5, (5, 3))])
def test_the_batch_is_free_or_fixed(batch, expected):
    model = emit(chain(registry()["ReLU"](), registry()["TanH"]()), {}, opset=13, batch=batch)
    infos = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    assert {info.name: dims(info) for info in infos} == dict.fromkeys(("x", "y1", "y2"), expected)


def test_an_input_with_another_first_axis_is_no_batch():
    x, boxes = blob("x", 2, 3), blob("boxes", 9, 5)
    y = blob("y", 9, 5)
    relu = node("r", registry()["ReLU"](), (boxes,), (y,))
    graph = Graph("", "TEST", (input_node(x, boxes), relu), (x, boxes), (y,))
    model = emit(graph, {}, opset=13)
    assert [dims(info) for info in model.graph.input] == [("batch", 3), (9, 5)]
    assert model.graph.name == "net"


def test_a_layer_that_fixes_the_batch():
    with pytest.raises(NetdefError) as caught:
        emit(chain(Rows()), {}, opset=13)
    (found,) = caught.value.diagnostics
    assert found.code == "ND0905"
    assert found.help == ("pass --batch 2 to fix the batch size",)
    assert (found.span.line, found.span.column) == (1, 1)
    model = emit(chain(Rows()), {}, opset=13, batch=2)
    assert dims(model.graph.output[0]) == (2, 3)


def test_handed_through_values_and_shared_constants():
    x, a, b = blob("x", 2, 3), blob("a", 2, 3), blob("b", 2, 3)
    graph = Graph("", "TEST", (input_node(x), node("t", Twice(), (x,), (a, b))), (x,), (a, b))
    model = emit(graph, {}, opset=13)
    assert [(n.name, n.op_type) for n in model.graph.node] == [("t/Mul", "Mul"), ("t/Add", "Add"), ("t", "Identity")]
    assert len(model.graph.initializer) == 1
    first, second = run(model, x=np.ones((2, 3)))
    assert (first == 1).all()
    assert (second == 4).all()


def test_a_blob_may_have_the_name_that_an_inner_value_would_get():
    x, y = blob("t/Mul", 2, 3), blob("t/constant", 2, 3)
    z = blob("z", 2, 3)
    graph = Graph("", "TEST", (input_node(x), node("t", Twice(), (x,), (y, z))), (x,), (y, z))
    model = emit(graph, {}, opset=13)
    onnx.checker.check_model(model, full_check=True)
    assert [info.name for info in model.graph.output] == ["t/constant", "z"]


def test_a_shared_parameter_is_stored_once_and_reshaped_for_its_sharer():
    spec = ParamSpec("weight", Shape((3,)), ZERO)
    shared = Param("l1.weight", spec, shared_name="w")
    graph = chain(Gain(), Gain((1, 3)), params=((shared,), (shared,)))
    model = emit(graph, ARRAY, opset=13)
    assert [t.name for t in model.graph.initializer] == ["l1.weight", "l2/constant"]
    (y,) = run(model, x=np.ones((2, 3)))
    assert y.tolist() == [[1, 100, 10000]] * 2


def test_an_input_that_is_changed_in_place_keeps_its_name():
    before, after = Blob("x@in", "x", Shape((2, 3))), Blob("x", "x", Shape((2, 3)))
    relu = node("relu", registry()["ReLU"](), (before,), (after,))
    model = emit(Graph("", "TEST", (input_node(before), relu), (before,), (after,)), {}, opset=13)
    assert [info.name for info in (*model.graph.input, *model.graph.output)] == ["x", "x@relu"]


def test_every_unsupported_layer_is_told_at_once():
    @dataclass(frozen=True, slots=True)
    class Odd(Gain):
        type: ClassVar[str] = "Odd"

        def onnx(self, g, bottoms):
            return Layer.onnx(self, g, bottoms)

    graph = chain(Odd(), registry()["ReLU"](), Odd(), params=((WEIGHT,), (), (WEIGHT,)))
    with pytest.raises(NetdefError) as caught:
        emit(graph, ARRAY, opset=13)
    assert [(d.code, d.message, d.span.line) for d in caught.value.diagnostics] == [
        ("ND0901", '"l1": Odd has no counterpart in ONNX', 1),
        ("ND0901", '"l3": Odd has no counterpart in ONNX', 3),
    ]


def test_a_net_that_computes_nothing():
    x = blob("x", 2, 3)
    with pytest.raises(NetdefError, match="ND0906"):
        emit(Graph("", "TEST", (input_node(x),), (x,), (x,)), {}, opset=13)


def test_an_input_of_unknown_size():
    with pytest.raises(NetdefError, match="ND0904"):
        emit(chain(registry()["ReLU"](), x=blob("x", None, 3, None)), {}, opset=13)


def test_a_batch_that_only_a_run_tells_is_free():
    model = emit(chain(registry()["ReLU"](), x=blob("x", None, 3)), {}, opset=13)
    assert dims(model.graph.input[0]) == ("batch", 3)


def test_a_large_model_keeps_its_tensors_in_a_file_of_their_own(tmp_path):
    big = Param("l1.weight", ParamSpec("weight", Shape((1000,)), ZERO))
    array = np.arange(1000, dtype=np.float32)
    graph = chain(Gain((1000,)), x=blob("x", 2, 1000), params=((big,),))
    path = tmp_path / "m.onnx"
    files = save(emit(graph, {"l1.weight": array}, opset=13), path, limit=100)
    assert files == (path, data_file(path))
    assert path.stat().st_size < 1000
    assert data_file(path).stat().st_size == 4000
    (y,) = run(onnx.load(path), x=np.ones((2, 1000)))
    assert np.array_equal(y[1], array)
