"""Pieces of scripts as people write them against pycaffe: each does what it does there."""

# ruff: noqa: C408 - dict(…) is the idiom of net specifications

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf import text_format

import netdef.pycaffe as caffe
from netdef.pycaffe import layers as L
from netdef.pycaffe import params as P
from netdef.pycaffe.proto import caffe_pb2

DEPLOY = """
name: "tiny"
input: "data"
input_shape { dim: 10 dim: 3 dim: 23 dim: 23 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 5 stride: 2 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" }
layer { name: "fc6" type: "InnerProduct" bottom: "norm1" top: "fc6"
  inner_product_param { num_output: 12 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6" }
layer { name: "fc8" type: "InnerProduct" bottom: "fc6" top: "fc8"
  inner_product_param { num_output: 7 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "fc8" top: "prob" }
"""
TRAIN = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 5 dim: 2 dim: 3 dim: 4 } shape { dim: 5 } data_filler { type: "gaussian" } data_filler { value: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 2 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "train.prototxt" test_iter: 2 test_interval: 100 base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
lr_policy: "inv" gamma: 0.0001 power: 0.75 max_iter: 7 snapshot: 3 snapshot_prefix: "snap" random_seed: 1
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    caffe.set_mode_cpu()
    caffe.set_random_seed(1)
    for name, text in (("deploy", DEPLOY), ("train", TRAIN), ("solver", SOLVER)):
        Path(f"{name}.prototxt").write_text(text)
    caffe.Net("deploy.prototxt", caffe.TEST).save("w.caffemodel")
    cv2.imwrite("cat.png", np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))


def deployed() -> caffe.Net:
    return caffe.Net("deploy.prototxt", "w.caffemodel", caffe.TEST)


def images(*sizes: int) -> Any:
    return np.random.default_rng(4).normal(size=sizes)


def test_classifying_one_image_fifty_times() -> None:
    net = deployed()
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", np.float32([104, 117, 123]))
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    net.blobs["data"].reshape(50, 3, 23, 23)
    net.blobs["data"].data[...] = transformer.preprocess("data", caffe.io.load_image("cat.png"))
    out = net.forward()
    assert out["prob"].shape == (50, 7)
    assert np.ptp(out["prob"], axis=0).max() < 1e-6
    np.testing.assert_allclose(out["prob"].sum(1), 1, rtol=1e-5)


def test_a_fully_convolutional_twin_by_flat_copies() -> None:
    twin = DEPLOY.replace("fc6", "fc6-conv").replace("fc8", "fc8-conv").replace("InnerProduct", "Convolution")
    twin = twin.replace("inner_product_param { num_output: 12", "convolution_param { num_output: 12 kernel_size: 5")
    twin = twin.replace("inner_product_param { num_output: 7", "convolution_param { num_output: 7 kernel_size: 1")
    Path("twin.prototxt").write_text(twin)
    net, full = deployed(), caffe.Net("twin.prototxt", "w.caffemodel", caffe.TEST)
    for name in ("fc6", "fc8"):
        full.params[f"{name}-conv"][0].data.flat = net.params[name][0].data.flat
        full.params[f"{name}-conv"][1].data[...] = net.params[name][1].data
    x = images(10, 3, 23, 23)
    np.testing.assert_allclose(full.forward(data=x)["prob"][..., 0, 0], net.forward(data=x)["prob"], rtol=1e-4)
    full.blobs["data"].reshape(1, 3, 45, 47)
    assert full.forward_all(data=images(1, 3, 45, 47))["prob"][0].argmax(axis=0).shape == (6, 7)


def test_features_batch_by_batch_are_those_of_forward_all() -> None:
    net, x = deployed(), images(37, 3, 23, 23)
    found = np.zeros((37, 12), np.float32)
    for begin in range(0, 37, 10):
        rows = x[begin : begin + 10]
        net.blobs["data"].data[: len(rows)] = rows
        net.forward(blobs=["fc6"])
        found[begin : begin + 10] = net.blobs["fc6"].data[: len(rows)]
    np.testing.assert_allclose(net.forward_all(blobs=["fc6"], data=x)["fc6"], found, rtol=1e-5, atol=1e-6)


def test_what_drives_one_class() -> None:
    """One in the diff of a score, zeros elsewhere: the gradient of that score by the pixels."""
    Path("forced.prototxt").write_text("force_backward: true\n" + DEPLOY)
    net, x = caffe.Net("forced.prototxt", "w.caffemodel", caffe.TEST), images(10, 3, 23, 23)
    net.forward(data=x)
    before = net.blobs["fc8"].data.copy()
    net.blobs["fc8"].diff[...] = 0
    net.blobs["fc8"].diff[0, 3] = 1
    found = net.backward(start="fc8", diffs=["pool1"])
    assert set(found) == {"data", "pool1"}
    gradient = found["data"].copy()
    step = 1e-3 / np.abs(gradient).max() * gradient
    net.forward(data=x + step)
    after = net.blobs["fc8"].data
    assert after[0, 3] - before[0, 3] == pytest.approx((step * gradient).sum(), rel=0.02)


def test_weights_edited_in_their_message() -> None:
    message = caffe_pb2.NetParameter()
    message.ParseFromString(Path("w.caffemodel").read_bytes())
    (conv,) = [layer for layer in message.layer if layer.name == "conv1"]
    values = np.array(conv.blobs[0].data).reshape(conv.blobs[0].shape.dim)
    np.testing.assert_array_equal(values, deployed().params["conv1"][0].data)
    conv.blobs[0].data[:] = [0.0] * values.size
    Path("zero.caffemodel").write_bytes(message.SerializeToString())
    assert not caffe.Net("deploy.prototxt", "zero.caffemodel", caffe.TEST).params["conv1"][0].data.any()


def test_a_net_written_field_by_field() -> None:
    message = caffe_pb2.NetParameter(name="by hand")
    data = message.layer.add(name="data", type="Input", top=["data"])
    data.input_param.shape.add().dim.extend([1, 3, 4, 4])
    conv = message.layer.add(name="c", type="Convolution", bottom=["data"], top=["c"])
    conv.convolution_param.num_output = 2
    conv.convolution_param.kernel_size.append(3)
    conv.convolution_param.weight_filler.type = "xavier"
    conv.param.add().lr_mult = 1
    conv.include.add().phase = caffe_pb2.TEST
    for text in (str(message), text_format.MessageToString(message)):
        Path("by_hand.prototxt").write_text(text)
        assert caffe.Net("by_hand.prototxt", caffe.TEST).forward()["c"].shape == (1, 2, 2, 2)


def test_a_step_of_ones_own() -> None:
    solver = caffe.SGDSolver("solver.prototxt")
    net, before = solver.net, solver.net.params["ip"][0].data.copy()
    net.forward()
    net.backward()
    gradient = net.params["ip"][0].diff.copy()
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] -= 0.1 * blob.diff
            blob.diff[...] = 0
    np.testing.assert_allclose(net.params["ip"][0].data, before - 0.1 * gradient, rtol=1e-6)
    np.testing.assert_array_equal(solver.test_nets[0].params["ip"][0].data, net.params["ip"][0].data)
    assert not net.params["conv"][0].diff.any()


def test_views_taken_before_the_steps_are_those_after() -> None:
    solver = caffe.SGDSolver("solver.prototxt")
    weights, diff = solver.net.params["ip"][0].data, solver.net.params["ip"][0].diff
    scores = solver.net.blobs["ip"].data
    first = weights.copy()
    solver.step(3)
    assert (weights != first).any()
    for view, now in ((weights, "data"), (diff, "diff")):
        np.testing.assert_array_equal(view, getattr(solver.net.params["ip"][0], now))
    np.testing.assert_array_equal(scores, solver.net.blobs["ip"].data)


def test_fine_tuning_with_frozen_layers() -> None:
    def net(learn_all: bool) -> str:
        param = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)] if learn_all else [dict(lr_mult=0)] * 2
        shape, filler = [dict(dim=[4, 3, 9, 9]), dict(dim=[4])], [dict(type="gaussian"), dict(type="constant", value=1)]
        n = caffe.NetSpec()
        n.data, n.label = L.DummyData(shape=shape, data_filler=filler, ntop=2)
        n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=8, param=param, weight_filler=dict(type="xavier"))
        n.relu1 = L.ReLU(n.conv1, in_place=True)
        n.pool1 = L.Pooling(n.relu1, pool=P.Pooling.MAX, kernel_size=3, stride=2)
        fc = L.InnerProduct(n.pool1, num_output=5, weight_filler=dict(type="xavier"))
        n.__setattr__("fc_mine", fc)
        n.loss = L.SoftmaxWithLoss(fc, n.label)
        path = Path(f"{learn_all}.prototxt")
        path.write_text(str(n.to_proto()))
        return str(path)

    base = caffe.Net(net(learn_all=True), caffe.TRAIN)
    base.save("base.caffemodel")
    solver = caffe_pb2.SolverParameter(train_net=net(learn_all=False), base_lr=0.1, lr_policy="fixed", momentum=0.9)
    solver.snapshot_prefix, solver.type, solver.max_iter = "mine", "SGD", 100
    Path("mine.prototxt").write_text(str(solver))
    tuned = caffe.get_solver("mine.prototxt")
    tuned.net.copy_from("base.caffemodel")
    tuned.step(5)
    np.testing.assert_array_equal(tuned.net.params["conv1"][0].data, base.params["conv1"][0].data)
    assert (tuned.net.params["fc_mine"][0].data != base.params["fc_mine"][0].data).any()


def test_weights_shared_by_name_are_one_memory_and_saved() -> None:
    twin = (
        'param { name: "w" } param { name: "b" } inner_product_param { num_output: 2 weight_filler { type: "xavier" } }'
    )
    Path("siamese.prototxt").write_text(f"""
        input: "a" input_shape {{ dim: 6 dim: 4 }} input: "b" input_shape {{ dim: 6 dim: 4 }}
        input: "same" input_shape {{ dim: 6 }}
        layer {{ name: "ip" type: "InnerProduct" bottom: "a" top: "ip" {twin} }}
        layer {{ name: "ip_p" type: "InnerProduct" bottom: "b" top: "ip_p" {twin} }}
        layer {{ name: "loss" type: "ContrastiveLoss" bottom: "ip" bottom: "ip_p" bottom: "same" top: "loss" }}""")
    Path("s.prototxt").write_text('net: "siamese.prototxt" base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "s"')
    solver = caffe.SGDSolver("s.prototxt")
    solver.net.blobs["a"].data[...], solver.net.blobs["b"].data[...] = images(2, 6, 4)
    solver.net.blobs["same"].data[...] = [0, 1] * 3
    solver.step(2)
    solver.net.params["ip"][0].data[0, 0] = 42
    solver.net.save("s.caffemodel")
    solver.net.save_hdf5("s.h5")
    for path in ("s.caffemodel", "s.h5"):
        net = caffe.Net("siamese.prototxt", path, caffe.TEST)
        np.testing.assert_array_equal(net.params["ip_p"][0].data, solver.net.params["ip"][0].data)
        assert net.params["ip_p"][0].data[0, 0] == 42


def test_a_recurrent_net_step_by_step_and_at_once() -> None:
    text = """input: "x" input_shape { dim: T dim: 2 dim: 3 } input: "cont" input_shape { dim: T dim: 2 }
        layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
          recurrent_param { num_output: 4 weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }"""
    for steps in (1, 5):
        Path(f"lstm{steps}.prototxt").write_text(text.replace("dim: T", f"dim: {steps}"))
    one, five = (caffe.Net(f"lstm{steps}.prototxt", caffe.TEST) for steps in (1, 5))
    five.share_with(one)
    x, found = images(5, 2, 3), []
    for step in range(5):
        one.blobs["cont"].data[...] = step > 0
        one.blobs["x"].data[...] = x[step : step + 1]
        found.append(one.forward()["h"].copy())
    five.blobs["x"].data[...] = x
    five.blobs["cont"].data[...] = 1
    five.blobs["cont"].data[0] = 0
    np.testing.assert_allclose(five.forward()["h"], np.concatenate(found), rtol=1e-4, atol=1e-6)


def test_memory_data_in_a_solver() -> None:
    Path("memory.prototxt").write_text("""
        layer { name: "d" type: "MemoryData" top: "data" top: "label"
          memory_data_param { batch_size: 4 channels: 1 height: 2 width: 2 } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }""")
    Path("m.prototxt").write_text('net: "memory.prototxt" base_lr: 0.5 lr_policy: "fixed" snapshot_prefix: "m"')
    solver, x = caffe.SGDSolver("m.prototxt"), images(8, 1, 2, 2).astype(np.float32)
    solver.net.set_input_arrays(x, np.float32([0, 1] * 4))
    for rows in (x[:4], x[4:], x[:4]):
        solver.step(1)
        np.testing.assert_array_equal(solver.net.blobs["data"].data, rows)


def test_memory_outlives_its_net() -> None:
    net = deployed()
    blobs = [*net.blobs.values(), *(blob for blobs in net.params.values() for blob in blobs)]
    del net
    assert np.isfinite(sum(blob.data.sum() + blob.diff.sum() for blob in blobs))


ORDERS: dict[str, Callable[[], caffe.Net]] = {
    "old": lambda: caffe.Net("deploy.prototxt", "w.caffemodel", caffe.TEST),
    "by keyword": lambda: caffe.Net(network_file="deploy.prototxt", weights="w.caffemodel", phase=caffe.TEST),
    "phase first": lambda: caffe.Net("deploy.prototxt", caffe.TEST, weights="w.caffemodel"),
    "a number": lambda: caffe.Net("deploy.prototxt", 1, weights="w.caffemodel"),
    "all in order": lambda: caffe.Net("deploy.prototxt", caffe.TEST, 0, None, "w.caffemodel"),
}


@pytest.mark.parametrize("make", ORDERS.values(), ids=ORDERS)
def test_ways_to_make_a_net(make: Callable[[], caffe.Net]) -> None:
    stored = caffe_pb2.NetParameter.FromString(Path("w.caffemodel").read_bytes()).layer
    expected = next(layer.blobs[0].data for layer in stored if layer.name == "fc8")
    np.testing.assert_array_equal(make().params["fc8"][0].data.ravel(), expected)
