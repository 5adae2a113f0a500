"""Does each parameter get the array that Caffe would give it, and is every disagreement told?"""

from pathlib import Path

import numpy as np
import pytest

from netdef.diagnostics import NetdefError
from netdef.weights import LayerWeights, Weights, match, read_weights

GOLDEN = Path(__file__).parents[1] / "golden"


def array(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def file(*layers, path="w.caffemodel"):
    return Weights(path, "caffemodel", layers)


def net(**layers):
    return [(name, [(param, shape) for param, shape in params.items()]) for name, params in layers.items()]


def faults(*args, **options):
    with pytest.raises(NetdefError) as caught:
        match(*args, **options)
    return [(d.code, d.message) for d in caught.value.diagnostics]


CONV = {"weight": (4, 3, 5, 5), "bias": (4,)}


def test_by_layer_name():
    stored = file(
        LayerWeights("old", "InnerProduct", (array(2, 2),)),
        LayerWeights("conv", "Convolution", (array(4, 3, 5, 5), array(4))),
        LayerWeights("relu", "ReLU"),
    )
    report = match(net(conv=CONV, relu={}, new={"weight": (2, 2)}), stored)
    assert (report.matched, report.skipped, report.left) == (("conv",), ("old",), ("new",))
    assert set(report.arrays) == {("conv", 0), ("conv", 1)}
    assert np.array_equal(report.arrays["conv", 0], array(4, 3, 5, 5))
    (told,) = report.warnings
    assert told.code == "ND0619"
    assert told.message == (
        'w.caffemodel: 1 layer matched, 1 skipped, not in the net ("old"), 1 left at their fillers ("new")'
    )


def test_nothing_is_told_where_all_layers_match():
    assert match(net(conv=CONV), file(LayerWeights("conv", "", (array(4, 3, 5, 5), array(4))))).warnings == ()


def test_of_many_names_some_are_told():
    stored = file(*(LayerWeights(f"l{i}", "", (array(2, 2),)) for i in range(14)))
    (told,) = match(net(l0={"weight": (2, 2)}), stored).warnings
    assert told.message.endswith('"l9", "l10" and 3 more)')


@pytest.mark.parametrize(
    ("stored", "wanted", "agrees"),
    [
        ((1, 1, 6, 64), (6, 64), True),
        ((1, 1, 1, 4), (4,), True),
        ((1, 1, 1, 1), (), True),
        ((4, 3, 3, 3), (4, 3, 3, 3), True),
        ((6, 64, 1, 1), (6, 64), False),
        ((1, 1, 64, 6), (6, 64), False),
        ((1, 6, 64, 1), (6, 64), False),
        ((1, 1, 6, 64), (1, 1, 1, 6, 64), False),
    ],
)
def test_four_old_axes(stored, wanted, agrees):
    weights = file(LayerWeights("l", "", (array(*stored),), legacy=frozenset({0})))
    if agrees:
        assert match(net(l={"weight": wanted}), weights).arrays["l", 0].shape == wanted
    else:
        assert faults(net(l={"weight": wanted}), weights)[0][0] == "ND0611"


def test_new_shapes_must_be_the_same():
    weights = file(LayerWeights("l", "", (array(1, 1, 6, 64),)))
    assert faults(net(l={"weight": (6, 64)}), weights)[0][0] == "ND0611"


def test_legacy_golden():
    weights = read_weights(GOLDEN / "nets/legacy_v1/weights.caffemodel")
    with np.load(GOLDEN / "nets/legacy_v1/case.npz") as stored:
        case = dict(stored)
    wanted = net(conv1={"weight": (4, 3, 3, 3), "bias": (4,)}, ip1={"weight": (6, 64), "bias": (6,)})
    for (layer, index), data in match(wanted, weights).arrays.items():
        expected = case[f"param.{layer}.{index}"]
        assert data.shape == expected.shape
        assert np.array_equal(data, expected)


def test_all_disagreements_at_once():
    weights = file(
        LayerWeights("conv", "", (array(4, 3, 3, 3), array(5))),
        LayerWeights("ip", "", (array(3, 2),)),
        LayerWeights("no_bias", "", (array(2), array(2))),
        LayerWeights("lost", ""),
    )
    wanted = net(conv=CONV, ip={"weight": (2, 3)}, no_bias={"weight": (2,)}, lost={"weight": (1,)})
    in_file, w = "in the file and", "w.caffemodel: layer"
    assert faults(wanted, weights) == [
        ("ND0611", f'{w} "conv", blob 0 (weight): 4x3x3x3 {in_file} 4x3x5x5 in the net'),
        ("ND0611", f'{w} "conv", blob 1 (bias): 5 {in_file} 4 in the net'),
        ("ND0611", f'{w} "ip", blob 0 (weight): 3x2 {in_file} 2x3 in the net'),
        ("ND0610", f'{w} "no_bias" has 2 blobs in the file (2, 2) and 1 blob in the net (weight 2): too many 1'),
        ("ND0610", f'{w} "lost" has 0 blobs in the file (none) and 1 blob in the net (weight 1): missing 0'),
    ]


def test_disagreements_come_in_the_nets_order():
    weights = file(LayerWeights("b", "", (array(1),)), LayerWeights("a", "", (array(1), array(1))))
    found = faults(net(a={"weight": (1,)}, b={"weight": (2,)}), weights)
    assert [code for code, _ in found] == ["ND0610", "ND0611"]


def test_transposed_is_named():
    with pytest.raises(NetdefError) as caught:
        match(net(ip={"weight": (2, 3)}), file(LayerWeights("ip", "", (array(3, 2),))))
    assert "transpose" in caught.value.diagnostics[0].help[0]


def test_later_file_wins():
    one = file(LayerWeights("a", "", (array(2),)), LayerWeights("b", "", (array(2),)), path="1")
    two = file(LayerWeights("b", "", (array(2) + 5,)), LayerWeights("c", "", (array(2),)), path="2")
    report = match(net(a={"w": (2,)}, b={"w": (2,)}), [one, two])
    assert report.arrays["a", 0].tolist() == [0, 1]
    assert report.arrays["b", 0].tolist() == [5, 6]
    assert report.skipped == ("c",)


def test_strict():
    weights = file(LayerWeights("old", "", (array(1),)), LayerWeights("a", "", (array(1),)))
    found = faults(net(a={"w": (1,)}, new={"w": (1,)}), weights, strict=True)
    assert [code for code, _ in found] == ["ND0612", "ND0612"]
    assert '"old" is in the file and not in the net' in found[0][1]
    assert '"new" of the net has no weights' in found[1][1]


def test_shared_weights_may_be_absent():
    weights = file(
        LayerWeights("owner", "", (array(2), array(2))), LayerWeights("sharer", "", (array(3),), keys=("1",))
    )
    wanted = net(owner={"weight": (2,), "bias": (2,)}, sharer={"weight": (2,), "bias": (3,)})
    assert set(match(wanted, weights, shared={("sharer", 0)}).arrays) == {("owner", 0), ("owner", 1), ("sharer", 1)}
    assert faults(wanted, weights)[0][0] == "ND0610"


def test_wholly_shared_layer_is_not_left():
    weights = file(LayerWeights("owner", "", (array(2),)), LayerWeights("sharer", ""))
    wanted = net(owner={"weight": (2,)}, sharer={"weight": (2,)})
    assert match(wanted, weights, shared={("sharer", 0)}, strict=True).left == ()


def test_safetensors_go_by_param_name():
    weights = file(LayerWeights("conv", "", (array(4), array(4, 3, 5, 5)), keys=("bias", "weight")))
    report = match(net(conv=CONV), weights)
    assert report.arrays["conv", 0].shape == (4, 3, 5, 5)
    assert report.arrays["conv", 1].shape == (4,)
    other = file(LayerWeights("conv", "", (array(4, 3, 5, 5),), keys=("kernel",)))
    assert "missing weight, bias; too many kernel" in faults(net(conv=CONV), other)[0][1]


def test_dubious_things_are_warned_of():
    twice = file(LayerWeights("a", "", (array(1),)), LayerWeights("a", "", (array(1) + 1,)))
    report = match(net(a={"w": (1,)}), twice)
    assert report.arrays["a", 0].tolist() == [1]
    assert [d.code for d in report.warnings] == ["ND0614"]
    assert [d.code for d in match(net(b={"w": (1,)}), twice).warnings] == ["ND0614", "ND0613"]


def test_numbers_that_are_none_are_warned_of():
    data = array(2, 3)
    data[0, 1], data[1] = np.nan, np.inf
    weights = file(LayerWeights("a", "", (array(3), data)))
    (told,) = match(net(a={"w": (3,), "b": (2, 3)}), weights).warnings
    assert (told.code, told.severity.value) == ("ND0620", "warning")
    assert 'layer "a", blob 1: 4 of 6 numbers are NaN or infinite' in told.message


def test_repeated_name_in_the_net_goes_to_the_first():
    weights = file(LayerWeights("a", "", (array(2),)))
    wanted = [("a", [("w", (2,))]), ("a", [("w", (3,))])]
    assert match(wanted, weights).arrays["a", 0].shape == (2,)
