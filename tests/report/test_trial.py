"""Do made-up data fit the layers that read them?"""

from __future__ import annotations

import pytest
import torch

from netdef.diagnostics import NetdefError, Source
from netdef.graph import Options, load
from netdef.ir import Graph
from netdef.report.trial import random_values, with_batch


def net(layers: str, **inputs: tuple[int, ...]) -> Graph:
    """A net of these layers behind Inputs of these shapes."""
    heads = "".join(
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for name, shape in inputs.items()
    )
    return load(Source("net.prototxt", heads + layers), Options(phase="TRAIN"))


LOSS = 'layer { name: "l" type: "%s" bottom: "x" bottom: "y" top: "l" }'
CARRIED = """layer { name: "f" type: "Reshape" bottom: "y" top: "f" reshape_param { shape { dim: -1 } } }
layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "f" top: "l" }"""


@pytest.mark.parametrize(
    ("layers", "inputs", "blob", "most"),
    [
        pytest.param(LOSS % "SoftmaxWithLoss", {"x": (400, 3), "y": (400,)}, "y", 3, id="softmax"),
        pytest.param(LOSS % "HingeLoss", {"x": (400, 4), "y": (400,)}, "y", 4, id="hinge"),
        pytest.param(LOSS % "SigmoidCrossEntropyLoss", {"x": (200, 2), "y": (200, 2)}, "y", 2, id="sigmoid"),
        pytest.param(CARRIED, {"x": (400, 5), "y": (400, 1)}, "y", 5, id="through a Reshape"),
        pytest.param(
            'layer { name: "e" type: "Embed" bottom: "y" top: "e" embed_param { num_output: 2 input_dim: 7 } }',
            {"y": (400,)},
            "y",
            7,
            id="embed",
        ),
    ],
)
def test_labels_are_all_the_whole_numbers_in_range(
    layers: str, inputs: dict[str, tuple[int, ...]], blob: str, most: int
) -> None:
    values = random_values(net(layers, **inputs), torch.Generator().manual_seed(0))
    assert sorted(set(values[blob].flatten().tolist())) == list(range(most))


def test_sequences_begin_in_the_first_step() -> None:
    lstm = 'layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "l" recurrent_param { num_output: 3 } }'
    marks = random_values(net(lstm, x=(20, 8, 4), c=(20, 8)), torch.Generator().manual_seed(0))["c"]
    assert set(marks[0].tolist()) == {0.0}
    assert set(marks[1:].flatten().tolist()) == {0.0, 1.0}


def test_other_values_are_normal() -> None:
    values = random_values(net(LOSS % "EuclideanLoss", x=(500, 9), y=(500, 9)), torch.Generator().manual_seed(0))["y"]
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05


def test_every_unknown_size_is_told_with_an_example() -> None:
    text = """layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 8 }
      transform_param { crop_size: 227 } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }"""
    with pytest.raises(NetdefError) as failure:
        random_values(load(Source("net.prototxt", text), Options(phase="TRAIN")), torch.Generator())
    (found,) = failure.value.diagnostics
    assert found.code == "ND0030"
    assert '"data" (8x?x227x227)' in found.message
    assert "--shape data=8x3x227x227" in found.help[0]


def test_a_smaller_batch_changes_no_parameter() -> None:
    layers = """layer { name: "c" type: "Convolution" bottom: "x" top: "c"
      convolution_param { num_output: 4 kernel_size: 3 } }
    layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip" inner_product_param { num_output: 3 } }
    layer { name: "l" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "l" }"""
    before = net(layers, x=(64, 2, 6, 6), y=(64,))
    after = with_batch(before, 2)
    assert {name: str(blob.shape) for name, blob in after.blobs.items()} == {
        "x": "2x2x6x6", "y": "2", "c": "2x4x4x4", "ip": "2x3", "l": "scalar",
    }  # fmt: skip
    assert [p.spec.shape for p in after.params.values()] == [p.spec.shape for p in before.params.values()]


def test_a_layer_that_insists_on_its_rows_keeps_the_batch() -> None:
    fixed = 'layer { name: "r" type: "Reshape" bottom: "x" top: "r" reshape_param { shape { dim: 8 dim: 6 } } }'
    graph = net(fixed, x=(4, 12))
    assert with_batch(graph, 2) is graph
