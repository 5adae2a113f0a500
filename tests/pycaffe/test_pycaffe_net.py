"""Does a pycaffe Net behave as scripts expect: live memory, parts of a net, surgery, reshaping, files?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netdef.pycaffe as caffe
from netdef import NetdefError

SMALL = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""
FORCED = SMALL + "force_backward: true\n"
LOSS = """
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" loss_weight: 2 }
"""

Make = Callable[..., caffe.Net]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    caffe.set_random_seed(1)

    def make(text: str, *arguments: Any, **options: Any) -> caffe.Net:
        path = tmp_path / f"net{len(list(tmp_path.iterdir()))}.prototxt"
        path.write_text(text)
        return caffe.Net(str(path), *(arguments or (caffe.TEST,)), **options)

    return make


def code(call: Callable[[], object]) -> str:
    with pytest.raises(NetdefError) as caught:
        call()
    return caught.value.diagnostics[0].code


def images(net: caffe.Net) -> Any:
    return np.random.default_rng(3).normal(size=net.blobs["data"].shape).astype(np.float32)


def test_names_of_a_net(make: Make) -> None:
    net = make(SMALL + LOSS)
    assert net.name == "small"
    assert net.inputs == ["data", "label"]
    assert net.outputs == ["loss"]
    assert list(net.blobs) == ["data", "conv", "pool", "fc", "label", "loss"]
    assert list(net.params) == ["conv", "fc"]
    assert [layer.type for layer in net.layers] == [
        *("Input", "Convolution", "ReLU", "Pooling", "InnerProduct", "Input", "SoftmaxWithLoss"),
    ]
    assert list(net._layer_names) == ["data", "conv", "relu", "pool", "fc", "label", "loss"]
    assert net.top_names["relu"] == ["conv"]
    assert net.bottom_names["loss"] == ["fc", "label"]
    assert net.layer_dict["conv"].blobs[0].shape == (4, 3, 3, 3)
    assert (net.blobs["fc"].num, net.blobs["fc"].channels, net.blobs["fc"].height) == (2, 5, 1)
    assert net.blobs["data"].count == 384
    assert net.blob_loss_weights["loss"] == 2
    assert list(net._blob_loss_weights) == [0, 0, 0, 0, 0, 2]
    assert net._bottom_ids(1) == [0]
    assert net._top_ids(2) == [1]


@pytest.mark.parametrize("order", ["phase", "phase and weights", "old"])
def test_constructor_orders(make: Make, tmp_path: Path, order: str) -> None:
    first = make(SMALL)
    path = str(tmp_path / "w.caffemodel")
    first.save(path)
    second = {
        "phase": lambda: make(SMALL, caffe.TEST, 0, None, path),
        "phase and weights": lambda: make(SMALL, caffe.TEST, weights=path),
        "old": lambda: make(SMALL, path, caffe.TEST),
    }[order]()
    for name, blobs in first.params.items():
        for ours, theirs in zip(blobs, second.params[name], strict=True):
            np.testing.assert_array_equal(ours.data, theirs.data)


def test_level_and_stages_choose_layers(make: Make) -> None:
    text = SMALL + 'layer { name: "p" type: "Softmax" bottom: "fc" top: "p" include { stage: "deploy" min_level: 2 } }'
    assert make(text, caffe.TEST, level=2, stages=["deploy"]).outputs == ["p"]
    assert make(text, caffe.TEST, level=1, stages=["deploy"]).outputs == ["fc"]


def test_parameters_are_live(make: Make) -> None:
    net = make(SMALL)
    net.params["conv"][0].data[...] = 0
    net.params["conv"][1].data[...] = [1, -1, 2, -2]
    net.forward(data=images(net))
    np.testing.assert_array_equal(net.blobs["conv"].data[0, :, 0, 0], [1, 0, 2, 0])


def test_views_stay_valid_over_forwards(make: Make) -> None:
    net = make(SMALL)
    view, weight = net.blobs["fc"].data, net.params["fc"][1].data
    net.forward(data=images(net))
    before = view.copy()
    weight += 3
    net.forward()
    np.testing.assert_allclose(view, before + 3, rtol=1e-6)


def test_forward_returns_live_outputs_and_more(make: Make) -> None:
    net = make(SMALL)
    found = net.forward(blobs=["pool"], data=images(net))
    assert set(found) == {"fc", "pool"}
    assert np.shares_memory(found["fc"], net.blobs["fc"].data)


def test_a_part_of_a_net_computes_from_what_a_script_wrote(make: Make) -> None:
    net = make(SMALL)
    net.forward(data=images(net))
    net.blobs["pool"].data[...] = 1
    found = net.forward(start="fc")
    expected = net.params["fc"][0].data.sum(1) + net.params["fc"][1].data
    np.testing.assert_allclose(found["fc"], np.tile(expected, (2, 1)), rtol=1e-5)
    assert set(net.forward(end="pool")) == {"pool"}
    net.blobs["conv"].data[...] = -1
    net.forward(start="relu", end="relu")
    np.testing.assert_array_equal(net.blobs["conv"].data, 0)


def test_no_gradient_without_loss_or_force(make: Make) -> None:
    net = make(SMALL)
    net.forward(data=images(net))
    net.blobs["fc"].diff[...] = 1
    net.backward()
    assert not net.blobs["pool"].diff.any()
    assert not net.params["fc"][0].diff.any()


def test_gradients_reach_parameters_but_not_inputs(make: Make) -> None:
    net = make(SMALL + LOSS)
    net.forward(data=images(net), label=np.array([1, 4]))
    net.backward()
    assert net.params["conv"][0].diff.any()
    assert not net.blobs["data"].diff.any()


def test_gradients_agree_with_finite_differences(make: Make) -> None:
    net = make(FORCED + LOSS)
    x, step = images(net), 1e-2
    labels = np.array([1, 4])
    net.forward(data=x, label=labels)
    diff = net.backward(diffs=["pool"])["data"].copy()
    for place in [(0, 0, 0, 0), (0, 1, 3, 4), (1, 2, 7, 7), (1, 0, 2, 5)]:
        values = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            values.append(2 * float(net.forward(data=moved, label=labels)["loss"]))
        assert diff[place] == pytest.approx((values[0] - values[1]) / (2 * step), abs=2e-3)


def test_backward_begins_in_the_middle(make: Make) -> None:
    net = make(FORCED)
    net.forward(data=images(net))
    net.blobs["pool"].diff[...] = 0
    net.blobs["pool"].diff[0, 1] = 1
    net.backward(start="pool")
    assert not net.params["fc"][0].diff.any()
    assert np.flatnonzero(net.params["conv"][1].diff).tolist() == [1]
    assert not net.blobs["data"].diff[1].any()
    assert set(net.backward(start="pool", end="conv")) == {"data"}


def test_diffs_of_outputs_as_arguments(make: Make) -> None:
    net = make(FORCED)
    net.forward(data=images(net))
    found = net.backward(fc=np.ones((2, 5)))
    np.testing.assert_allclose(
        net.blobs["pool"].diff.reshape(2, -1), np.tile(net.params["fc"][0].data.sum(0), (2, 1)), rtol=1e-5
    )
    assert set(found) == {"data"}


def test_gradients_of_parameters_add_up_until_cleared(make: Make) -> None:
    net = make(FORCED)
    net.forward(data=images(net))
    net.backward(fc=np.ones((2, 5)))
    once = net.params["conv"][0].diff.copy()
    net.backward(fc=np.ones((2, 5)))
    np.testing.assert_allclose(net.params["conv"][0].diff, 2 * once, rtol=1e-6)
    net.clear_param_diffs()
    assert not net.params["conv"][0].diff.any()


def test_a_blob_with_two_readers_sums_their_diffs(make: Make) -> None:
    more = 'layer { name: "twice" type: "Power" bottom: "pool" top: "twice" power_param { scale: 3 } }'
    net = make(FORCED + more)
    net.forward(data=images(net))
    net.backward(fc=np.zeros((2, 5)), twice=np.ones(net.blobs["twice"].shape))
    np.testing.assert_array_equal(net.blobs["pool"].diff, 3)


def test_callbacks_tell_the_layers_index(make: Make) -> None:
    net = make(FORCED)
    told: list[Any] = []
    net.before_forward(lambda index: told.append(("before", index)))
    net.after_forward(lambda index: told.append(("after", net.layers[index].type)))
    net.before_backward(lambda index: told.append(("back", index)))
    net.after_backward(lambda index: told.append(("backed", index)))
    net.forward(start="pool", end="pool")
    net.forward()
    del told[:-2]
    assert told == [("before", 4), ("after", "InnerProduct")]
    told.clear()
    net.backward(start="conv")
    assert told == [("back", 1), ("backed", 1), ("back", 0), ("backed", 0)]


def test_a_callback_may_change_a_blob(make: Make) -> None:
    net = make(SMALL)

    def zero(index: int) -> None:
        if net.layers[index].name == "pool":
            net.blobs["pool"].data[...] = 0

    net.after_forward(zero)
    net.params["fc"][1].data[...] = 7
    np.testing.assert_array_equal(net.forward(data=images(net))["fc"], 7)


def test_reshape_of_an_input(make: Make) -> None:
    net = make(SMALL)
    before = net.forward(data=images(net))["fc"].copy()
    net.blobs["data"].reshape(1, 3, 8, 8)
    net.reshape()
    assert net.blobs["fc"].shape == (1, 5)
    np.testing.assert_allclose(net.forward()["fc"], before[:1], rtol=1e-5)  # what was in memory is still there
    net.blobs["data"].reshape(7, 3, 8, 8)
    assert net.forward()["fc"].shape == (7, 5)


def test_reshape_that_an_inner_product_cannot_follow(make: Make) -> None:
    net = make(SMALL)
    net.blobs["data"].reshape(1, 3, 12, 12)
    assert code(net.reshape) == "ND1003"


def test_surgery_from_inner_product_to_convolution(make: Make) -> None:
    """A fully connected layer is a convolution over its whole bottom (Caffe's example "net surgery")."""
    net = make(SMALL)
    text = SMALL[: SMALL.index('layer { name: "fc"')]
    text += 'layer { name: "fc-conv" type: "Convolution" bottom: "pool" top: "fc-conv"'
    text += " convolution_param { num_output: 5 kernel_size: 3 } }"
    conv = make(text)
    conv.share_with(net)
    conv.params["fc-conv"][0].data.flat = net.params["fc"][0].data.flat
    conv.params["fc-conv"][1].data[...] = net.params["fc"][1].data
    x = images(net)
    expected = net.forward(data=x)["fc"].copy()
    np.testing.assert_allclose(conv.forward(data=x)["fc-conv"][:, :, 0, 0], expected, rtol=1e-4, atol=1e-5)
    conv.blobs["data"].reshape(1, 3, 12, 12)
    assert conv.forward()["fc-conv"].shape == (1, 5, 3, 3)


def test_shared_parameters_are_one_memory_with_diffs_apart(make: Make) -> None:
    one, other = make(FORCED), make(FORCED)
    other.share_with(one)
    one.params["conv"][0].data[...] = 0.5
    np.testing.assert_array_equal(other.params["conv"][0].data, 0.5)
    one.forward(data=images(one))
    one.backward(fc=np.ones((2, 5)))
    assert one.params["conv"][0].diff.any()
    assert not other.params["conv"][0].diff.any()


@pytest.mark.parametrize("kind", ["caffemodel", "hdf5"])
def test_files(make: Make, tmp_path: Path, kind: str) -> None:
    one, other = make(SMALL), make(SMALL)
    path = str(tmp_path / f"w.{kind}")
    if kind == "hdf5":
        one.save_hdf5(path)
        other.load_hdf5(path)
    else:
        one.save(path)
        other.copy_from(path)
    x = images(one)
    np.testing.assert_array_equal(one.forward(data=x)["fc"], other.forward(data=x)["fc"])


def test_forward_all_takes_any_number_of_rows(make: Make) -> None:
    net = make(SMALL)
    rows = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    found = net.forward_all(data=rows, blobs=["pool"])
    assert found["fc"].shape == (5, 5)
    assert found["pool"].shape == (5, 4, 3, 3)
    net.blobs["data"].reshape(5, 3, 8, 8)
    np.testing.assert_allclose(net.forward(data=rows)["fc"], found["fc"], rtol=1e-5, atol=1e-6)


def test_forward_backward_all(make: Make) -> None:
    net = make(FORCED)
    rows = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    outputs, diffs = net.forward_backward_all(data=rows, fc=np.ones((4, 5), np.float32))
    assert outputs["fc"].shape == (4, 5)
    assert diffs["data"].shape == rows.shape
    net.forward(data=rows[2:])
    np.testing.assert_allclose(net.backward(fc=np.ones((2, 5)))["data"], diffs["data"][2:], rtol=1e-5, atol=1e-7)


def test_data_layers_bring_batches(make: Make) -> None:
    text = """
    layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 dim: 3 }
      data_filler { type: "constant" value: 4 } } }
    layer { name: "s" type: "Power" bottom: "d" top: "s" power_param { scale: 2 } }
    """
    net = make(text)
    assert net.inputs == []
    np.testing.assert_array_equal(net.forward()["s"], np.full((2, 3), 8))


def test_memory_data(make: Make) -> None:
    text = """
    layer { name: "d" type: "MemoryData" top: "d" top: "l"
      memory_data_param { batch_size: 2 channels: 1 height: 1 width: 1 } }
    layer { name: "s" type: "Silence" bottom: "l" }
    """
    net = make(text)
    net.set_input_arrays(np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1), np.arange(4, dtype=np.float32))
    assert [net.forward()["d"].ravel().tolist() for _ in range(3)] == [[0, 1], [2, 3], [0, 1]]
    assert code(lambda: make(SMALL).set_input_arrays(np.zeros((1, 1, 1, 1)), np.zeros(1))) == "ND1006"


ERRORS: dict[str, tuple[str, Callable[[caffe.Net], object]]] = {
    "no such layer": ("ND1009", lambda net: net.forward(start="konv")),
    "no such blob": ("ND1009", lambda net: net.forward(blobs=["konv"])),
    "other inputs": ("ND1008", lambda net: net.forward(image=np.zeros((2, 3, 8, 8)))),
    "other batch size": ("ND1008", lambda net: net.forward(data=np.zeros((3, 3, 8, 8)))),
    "other sizes": ("ND1008", lambda net: net.forward(data=np.zeros((2, 3, 9, 9)))),
    "other sizes of a diff": ("ND1008", lambda net: net.backward(fc=np.zeros((2, 4)))),
    "sizes in a list": ("ND1004", lambda net: net.blobs["data"].reshape([2, 3, 8, 8])),
    "other outputs": ("ND1008", lambda net: net.backward(pool=np.zeros((2, 4, 3, 3)))),
    "backward first": ("ND1005", lambda net: net.backward()),
    "negative size": ("ND1004", lambda net: net.blobs["data"].reshape(2, -1)),
    "parameter reshaped": ("ND1004", lambda net: net.params["fc"][0].reshape(4, 4)),
    "no weights": ("ND0601", lambda net: net.copy_from("nowhere.caffemodel")),
}


@pytest.mark.parametrize(("wanted", "call"), ERRORS.values(), ids=ERRORS)
def test_errors(make: Make, wanted: str, call: Callable[[caffe.Net], object]) -> None:
    net = make(FORCED)
    assert code(lambda: call(net)) == wanted


def test_rows_for_a_net_that_reads_its_own_data(make: Make) -> None:
    data = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2 } } }'
    assert code(lambda: make(data).forward_all(data=np.zeros((4, 3)))) == "ND1008"


def test_a_label_that_is_no_class(make: Make) -> None:
    net = make(SMALL + LOSS)
    assert code(lambda: net.forward(data=images(net), label=np.array([1, 5]))) == "ND1017"


def test_backward_after_a_reshape_needs_a_forward(make: Make) -> None:
    net = make(FORCED)
    net.forward(data=images(net))
    net.blobs["data"].reshape(1, 3, 8, 8)
    net.reshape()
    assert code(net.backward) == "ND1005"


def test_errors_of_the_constructor(make: Make) -> None:
    assert code(lambda: make(SMALL, "weights.caffemodel")) == "ND1007"
    assert code(lambda: make(SMALL, 3)) == "ND1007"
    assert code(lambda: make('layer { name: "d" type: "Input" top: "d" }')) == "ND1002"
    assert code(lambda: caffe.Net("nowhere.prototxt", caffe.TEST)) == "ND0010"


def test_values_written_between_forward_and_backward_do_not_spoil_gradients_in_place(make: Make) -> None:
    """BatchNorm in place keeps its own input: gradients are those of the same net written without in-place layers."""
    head = 'force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }'
    tail = 'layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "{0}" }}'
    tail += ' layer {{ name: "s" type: "Sigmoid" bottom: "{0}" top: "{1}" }}'
    in_place, apart = make(head + tail.format("x", "x"), caffe.TRAIN), make(head + tail.format("b", "s"), caffe.TRAIN)
    x, diff = np.random.default_rng(0).normal(size=(2, 4, 3))
    found = []
    for net, top in ((in_place, "x"), (apart, "s")):
        net.blobs["x"].data[...] = x
        net.forward()
        net.blobs[top].diff[...] = diff
        net.backward()
        found.append((net.blobs[top].data.copy(), net.blobs["x"].diff.copy()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-7)
