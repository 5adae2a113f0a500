"""A net whose inputs have other shapes: blobs follow, parameters stay."""

import pytest

from netdef.graph.reshape import CannotTake, reshape, reshaped
from netdef.ir import Shape
from tests.graph.compiling import graph

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } }\n'
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }\n'
)
IP = 'layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip" inner_product_param { num_output: 5 } }\n'
FIXED = 'layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: 4 dim: 192 } } }\n'


def test_blobs_follow_the_inputs() -> None:
    net = graph(INPUT + CONV + IP)
    after = reshaped(net, {"x": Shape.of(9, 3, 8, 8)})
    assert {id: str(blob.shape) for id, blob in after.blobs.items()} == {"x": "9x3x8x8", "c": "9x2x6x6", "ip": "9x5"}
    assert after.params == net.params
    assert [str(blob.shape) for blob in (*after.inputs, *after.outputs)] == ["9x3x8x8", "9x5"]


@pytest.mark.parametrize(
    ("layers", "shape", "layer", "why"),
    [
        pytest.param(CONV + IP, (4, 3, 9, 9), "ip", "its weight is 5x72, and would have to be 5x98", id="a parameter"),
        pytest.param(FIXED, (5, 3, 8, 8), "r", "5x3x8x8", id="a shape rule"),
    ],
)
def test_a_layer_that_cannot_take_them_is_named(layers: str, shape: tuple[int, ...], layer: str, why: str) -> None:
    with pytest.raises(CannotTake) as refusal:
        reshape(graph(INPUT + layers).nodes, {"x": Shape(shape)})
    assert refusal.value.node.name == layer
    assert why in refusal.value.why


def test_a_parameter_of_its_owners_other_shape_is_no_hindrance() -> None:
    owner = CONV.replace("convolution_param", 'param { name: "w" } convolution_param')
    shares = (
        'layer { name: "flat" type: "Convolution" bottom: "x" top: "d" param { name: "w" share_mode: PERMISSIVE } '
        "convolution_param { num_output: 6 kernel_size: 3 group: 3 } }"
    )
    net = graph(INPUT + owner + shares)
    assert [str(node.specs[0].shape) for node in net.nodes[1:]] == ["2x3x3x3", "6x1x3x3"]
    assert str(reshape(net.nodes, {"x": Shape.of(4, 3, 20, 20)})["d"]) == "4x6x18x18"
