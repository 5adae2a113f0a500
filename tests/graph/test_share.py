"""Parameters shared by name, their multipliers, and where the gradient flows."""

import pytest

from netdef.diagnostics import NetdefError
from netdef.graph import Options
from netdef.targets.torch import build_module
from tests.graph.compiling import finding, graph

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 } } }\n'


def fc(name: str, bottom: str, extra: str = "", num_output: int = 4) -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {extra} '
        f"inner_product_param {{ num_output: {num_output} }} }}\n"
    )


def test_sharing_by_name() -> None:
    net = graph(
        INPUT
        + fc("a", "x", 'param { name: "w" lr_mult: 3 } param { lr_mult: 2 decay_mult: 0 }')
        + fc("b", "a", 'param { name: "w" }')
    )
    assert net.layers["a"].params[0] is net.layers["b"].params[0]
    assert [(p.id, p.lr_mult, p.decay_mult) for p in net.params.values()] == [
        ("a.weight", 3, 1),
        ("a.bias", 2, 0),
        ("b.bias", 1, 1),
    ]
    assert net.cost.parameters == 16 + 4 + 4


def test_shared_shapes_must_agree() -> None:
    found = finding(
        INPUT + fc("a", "x", 'param { name: "w" }') + fc("b", "a", 'param { name: "w" }', num_output=5), "ND0307"
    )
    assert found.message == 'parameter "w" is 5x4 here and 4x4 in its owner, "a"'


def test_permissive_sharing_asks_for_equal_counts() -> None:
    small = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }\n'
    owner = fc("a", "x", 'param { name: "w" }', 4)
    text = small + owner + fc("b", "a", 'param { name: "w" share_mode: PERMISSIVE }', 6)
    net = graph(text)
    assert net.layers["b"].params[0].id == "a.weight"


def test_a_multiplier_that_only_a_later_layer_states() -> None:
    """It is the parameter's own (Caffe's AppendParam: has_params_lr_, has_params_decay_)."""
    net = graph(
        INPUT
        + fc("a", "x", 'param { name: "w" decay_mult: 2 }')
        + fc("b", "a", 'param { name: "w" }')
        + fc("c", "b", 'param { name: "w" lr_mult: 0 decay_mult: 2 }')
    )
    shared = net.layers["a"].params[0]
    assert (shared.lr_mult, shared.decay_mult) == (0, 2)
    assert all(net.layers[name].params[0] is shared for name in "bc")
    third = 'param { name: "w" lr_mult: 3 }'
    text = INPUT + fc("a", "x", 'param { name: "w" }') + fc("b", "a", 'param { name: "w" lr_mult: 2 }')
    assert "`lr_mult`" in finding(text + fc("c", "b", third), "ND0314").message


def test_multipliers_that_differ() -> None:
    found = finding(
        INPUT + fc("a", "x", 'param { name: "w" lr_mult: 1 }') + fc("b", "a", 'param { name: "w" lr_mult: 2 }'),
        "ND0314",
    )
    assert "`lr_mult`" in found.message


def test_multipliers_that_a_sharer_alone_states() -> None:
    """They count for the parameter (Caffe's net.cpp, AppendParam)."""
    net = graph(
        INPUT + fc("a", "x", 'param { name: "w" }') + fc("b", "x", 'param { name: "w" lr_mult: 3 decay_mult: 0 }')
    )
    assert [(p.shared_name, p.lr_mult, p.decay_mult) for p in net.params.values() if p.shared_name] == [("w", 3, 0)]
    assert net.layers["a"].params[0] is net.layers["b"].params[0]
    text = INPUT + fc("a", "x", 'param { name: "w" }')
    text += fc("b", "x", 'param { name: "w" lr_mult: 3 }') + fc("c", "x", 'param { name: "w" lr_mult: 2 }')
    assert "differs from its owner's" in finding(text, "ND0314").message


def test_too_many_params() -> None:
    found = finding(INPUT + fc("a", "x", "param { } param { } param { lr_mult: 0 }"), "ND0308")
    assert found.message == 'InnerProduct "a" has 2 parameters, but 3 `param` fields'


def test_batchnorm_statistics_are_not_trained() -> None:
    norm = 'layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" %s }'
    net = graph(INPUT + norm % "param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }")
    assert [param.lr_mult for param in net.params.values()] == [0, 0, 0]
    assert "must be 0" in finding(INPUT + norm % "param { lr_mult: 1 }", "ND0424").message


def test_three_params_of_batchnorm_are_those_of_old_files() -> None:
    """Caffe sets their rates to 0 whatever they are (upgrade_proto.cpp, UpgradeNetBatchNorm)."""
    text = INPUT + 'layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" ' + "param { lr_mult: 1 } " * 3 + "}"
    assert [param.lr_mult for param in graph(text).params.values()] == [0, 0, 0]
    assert finding(text, "ND0424").severity.value == "warning"


def test_gradient_begins_behind_what_is_learnt() -> None:
    net = graph(INPUT + fc("a", "x") + 'layer { name: "r" type: "ReLU" bottom: "a" top: "r" }' + fc("b", "r"))
    assert [node.propagate for node in net.nodes] == [(), (False,), (True,), (True,)]


def test_gradient_stops_where_told() -> None:
    net = graph(INPUT + fc("a", "x") + fc("b", "a", "propagate_down: false"))
    assert net.layers["b"].propagate == (False,)
    frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
    net = graph(INPUT + fc("a", "x", frozen) + fc("b", "a"))
    assert net.layers["b"].propagate == (False,)
    text = INPUT + fc("a", "x", "propagate_down: true propagate_down: true")
    assert "2 `propagate_down`" in finding(text, "ND0310").message


def test_force_backward_reaches_the_inputs_but_not_labels() -> None:
    net = graph(
        "force_backward: true\n"
        + INPUT
        + 'layer { name: "l" type: "Input" top: "label" input_param { shape { dim: 2 } } }'
        + fc("a", "x")
        + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "a" bottom: "label" top: "loss" }',
        Options(phase="TRAIN"),
    )
    assert net.layers["a"].propagate == (True,)
    assert net.layers["loss"].propagate == (True, False)
    assert net.layers["loss"].loss_weights == (1.0,)


def test_loss_weights() -> None:
    def weighted(fields: str) -> str:
        return INPUT + f'layer {{ name: "r" type: "Reduction" bottom: "x" top: "r" {fields} }}'

    assert graph(weighted("loss_weight: 0.5")).layers["r"].loss_weights == (0.5,)
    assert graph(weighted("")).layers["r"].loss_weights == (0.0,)
    assert "1 top and 2 `loss_weight`" in finding(weighted("loss_weight: 1 loss_weight: 2"), "ND0309").message


def test_permissive_sharing_of_two_shapes_is_refused_by_torch() -> None:
    small = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }\n'
    owner = fc("a", "x", 'param { name: "w" }', 4)
    text = small + owner + fc("b", "a", 'param { name: "w" share_mode: PERMISSIVE }', 6)
    with pytest.raises(NetdefError) as failure:
        build_module(graph(text))
    (found,) = failure.value.diagnostics
    assert (found.code, found.message) == ("ND0902", '"b" shares "w" as 6x4, and its owner has 4x6')


BILINEAR = 'weight_filler { type: "bilinear" }'


@pytest.mark.parametrize(
    ("layer", "blob"),
    [
        (f'type: "InnerProduct" inner_product_param {{ num_output: 3 {BILINEAR} }}', "3x4"),
        (f'type: "Deconvolution" convolution_param {{ num_output: 3 kernel_h: 2 kernel_w: 4 {BILINEAR} }}', "2x3x2x4"),
    ],
    ids=["no kernel", "not square"],
)
def test_a_filler_that_cannot_fill(layer: str, blob: str) -> None:
    dims = "dim: 1 dim: 2 dim: 4 dim: 4" if "Deconvolution" in layer else "dim: 2 dim: 4"
    top = f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n'
    found = finding(top + f'layer {{ name: "l" bottom: "x" top: "l" {layer} }}', "ND0426")
    assert found.message.endswith(f"square kernels with 4 axes, and this blob is {blob}")
