"""From names to values: in-place chains, outputs, and what is wrong with a net's wiring."""

import pytest

from netdef.graph import Options
from tests.graph.compiling import compiled, finding, graph, underlined

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 } } }\n'


def test_in_place_chain_is_ssa() -> None:
    net = graph(
        INPUT
        + 'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }'
        + 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }'
        + 'layer { name: "sig" type: "Sigmoid" bottom: "y" top: "y" }'
    )
    assert [blob.id for node in net.nodes for blob in node.tops] == ["x", "y@fc", "y@relu", "y"]
    assert [node.bottoms[0].id for node in net.nodes[1:]] == ["x", "y@fc", "y@relu"]
    assert [blob.name for blob in net.outputs] == ["y"]


def test_outputs_come_by_name() -> None:
    net = graph(
        INPUT
        + 'layer { name: "b" type: "ReLU" bottom: "x" top: "zeta" }'
        + 'layer { name: "a" type: "TanH" bottom: "x" top: "alpha" }'
    )
    assert [blob.name for blob in net.outputs] == ["alpha", "zeta"]


def test_unknown_bottom_names_the_nearest() -> None:
    found = finding(INPUT + 'layer { name: "r" type: "ReLU" bottom: "X" top: "y" }', "ND0302")
    assert underlined(found) == '"X"'
    assert found.help == ('did you mean "x"?',)


def test_bottom_of_the_other_phase() -> None:
    text = (
        'layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 } } include { phase: TRAIN } }'
        'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }'
    )
    found = finding(text, "ND0302", Options(phase="TEST"))
    assert found.help == ('the layer that writes it, "data", takes no part in phase TEST',)
    assert found.labels[0].span.line == 1


def test_bottom_written_later() -> None:
    text = (
        'layer { name: "r" type: "ReLU" bottom: "x" top: "y" }\n'
        'layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
    )
    found = next(d for d in compiled(text).diagnostics if d.code == "ND0302")
    assert found.help == ("move the layer that writes it up",)
    assert found.labels[0].span.line == 2


def test_one_unknown_bottom_is_told_once() -> None:
    relu = 'layer {{ name: "{0}" type: "ReLU" bottom: "lost" top: "{0}" }}'
    text = INPUT + relu.format("a") + relu.format("b")
    assert [d.code for d in compiled(text).diagnostics] == ["ND0302"]


def test_top_written_twice() -> None:
    found = finding(
        INPUT
        + 'layer { name: "a" type: "ReLU" bottom: "x" top: "y" }\n'
        + 'layer { name: "b" type: "TanH" bottom: "x" top: "y" }',
        "ND0303",
    )
    assert found.message == '"y" is written twice, by "a" and "b"'
    assert (found.span and found.span.line, found.labels[0].span.line) == (3, 2)


def test_arity() -> None:
    found = finding(INPUT + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" top: "l" }', "ND0305")
    assert 'SoftmaxWithLoss "loss" takes exactly 2 bottoms, found 1' in found.message
    found = finding(INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" bottom: "x" top: "y" }', "ND0305")
    assert found.message == 'ReLU "r" takes exactly 1 bottom, found 2'


def test_unknown_type_does_not_hide_what_follows() -> None:
    text = INPUT + (
        'layer { name: "p" type: "Poling" bottom: "x" top: "p" } layer { name: "r" type: "Relu" bottom: "p" top: "r" }'
    )
    found = compiled(text).diagnostics
    assert [(d.code, d.help) for d in found] == [
        ("ND0301", ('did you mean "Pooling"?',)),
        ("ND0301", ('did you mean "ReLU"?',)),
    ]


def test_loss_without_a_top_gets_one_that_is_no_output() -> None:
    net = graph(
        INPUT
        + 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 4 } } }'
        + 'layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "t" }'
    )
    assert net.outputs == ()
    assert [(blob.name, weight) for blob, weight in net.losses()] == [("(automatic)", 1.0)]


def test_layers_of_one_name_and_of_none() -> None:
    result = compiled(
        INPUT
        + 'layer { name: "r" type: "ReLU" bottom: "x" top: "a" }'
        + 'layer { name: "r" type: "ReLU" bottom: "a" top: "b" }'
        + 'layer { type: "ReLU" bottom: "b" top: "c" }'
    )
    assert [d.code for d in result.diagnostics] == ["ND0315"]
    assert result.graph
    assert list(result.graph.layers) == ["in", "r", "r#2", "relu3"]


def test_a_layer_named_where_its_blob_was_meant() -> None:
    text = (
        INPUT + 'layer { name: "conv" type: "ReLU" bottom: "x" top: "c" }\n'
        'layer { type: "TanH" bottom: "conv" top: "y" }'
    )
    found = finding(text, "ND0302")
    assert found.message == 'a TanH layer without a name reads "conv", which no layer before it writes'
    assert found.help == ('that is the name of a layer, whose top is "c"',)
    assert found.labels[0].span.text == '"c"'


def test_a_layer_that_reads_itself() -> None:
    found = finding(INPUT + 'layer { name: "r" type: "ReLU" bottom: "r" top: "r" }', "ND0302")
    assert "it writes that itself" in found.help[0]


def test_one_mistake_in_the_arity_is_told_once() -> None:
    text = INPUT + 'layer { name: "c" type: "Convolution" top: "y" convolution_param { num_output: 1 kernel_size: 1 } }'
    assert [d.code for d in compiled(text).diagnostics] == ["ND0305"]


@pytest.mark.parametrize("old", ["conv", "CONVOLUTION"])
def test_types_of_old_files(old: str) -> None:
    block = "convolution_param { num_output: 1 kernel_size: 1 }"
    found = finding(INPUT + f'layer {{ name: "c" type: "{old}" bottom: "x" top: "y" {block} }}', "ND0301")
    assert found.fix is not None
    assert found.fix.edits[0].replacement == '"Convolution"'


def test_the_block_of_another_type_is_pointed_at() -> None:
    text = 'layer { name: "c" type: "InnerProduct" bottom: "x" top: "y" convolution_param { num_output: 1 } }'
    found = finding(INPUT + text, "ND0405")
    assert [(label.span.text, label.text) for label in found.labels] == [
        ("convolution_param", "InnerProduct does not read this")
    ]


def test_a_layer_may_have_the_name_of_an_input() -> None:
    """Caffe's layer for `input` is called "input", so that the weights of this one are found."""
    net = graph('input: "data" input_dim: [1, 3, 4, 4] layer { name: "data" type: "Scale" bottom: "data" top: "s" }')
    assert [node.id for node in net.nodes] == ["data#2", "data"]
    assert [param.id for param in net.params.values()] == ["data.weight"]
