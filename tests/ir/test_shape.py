"""Shapes that are known in part, and what a graph says of itself."""

import pytest

from netdef.ir import SCALAR, UNKNOWN, Shape, agree, dump, merge, product, training_bytes
from tests.graph.compiling import graph

NET = (
    'name: "tiny"\n'
    'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }\n'
    'layer { name: "conv" type: "Convolution" bottom: "x" top: "y"'
    " convolution_param { num_output: 4 kernel_size: 3 } }\n"
    'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }\n'
)


@pytest.mark.parametrize(
    ("shape", "text"),
    [(Shape.of(64, None, 3), "64x?x3"), (SCALAR, "scalar"), (UNKNOWN, "?"), (Shape.of(7), "7")],
    ids=str,
)
def test_text(shape: Shape, text: str) -> None:
    assert str(shape) == text


@pytest.mark.parametrize(
    ("a", "b", "merged"),
    [
        (Shape.of(2, None), Shape.of(None, 3), Shape.of(2, 3)),
        (UNKNOWN, Shape.of(2), Shape.of(2)),
        (Shape.of(2), UNKNOWN, Shape.of(2)),
        (Shape.of(2), Shape.of(3), None),
        (Shape.of(2), Shape.of(2, 1), None),
    ],
    ids=["complete_each_other", "unknown_left", "unknown_right", "other_size", "other_rank"],
)
def test_merge(a: Shape, b: Shape, merged: Shape | None) -> None:
    assert merge(a, b) == merged


def test_counting() -> None:
    assert Shape.of(2, 3, 4).count() == 24
    assert Shape.of(2, 3, 4).count(1) == 12
    assert Shape.of(2, None).count() is None
    assert product((None, 0)) == 0
    assert SCALAR.count() == 1
    assert UNKNOWN.count() is None
    assert agree(None, 3)
    assert not agree(2, 3)


def test_cost_of_a_net() -> None:
    cost = graph(NET).cost
    assert cost.parameters == 4 * 3 * 3 * 3 + 4
    assert cost.multiply_adds == 2 * 4 * 6 * 6 * 27
    # The ReLU works in place: its top takes no memory of its own.
    assert cost.activation_bytes == 4 * (2 * 3 * 8 * 8 + 2 * 4 * 6 * 6)


def test_training_memory() -> None:
    net = graph(NET)
    parameters, blobs = 112, (384, 288)
    largest = 384 + 288
    assert training_bytes(net) == 4 * (3 * parameters + sum(blobs) + largest)


def test_dump() -> None:
    assert dump(graph(NET)) == (
        'graph "tiny" TEST\n'
        '  %x: 2x3x8x8 = Input "in"()\n'
        '  %y@conv: 2x4x6x6 = Convolution "conv"(%x) conv.weight[4x3x3x3] conv.bias[4]\n'
        '  %y: 2x4x6x6 = ReLU "relu"(%y@conv)\n'
        "  return %y\n"
    )
