"""Do scripts in the manner of Caffe's examples run, with their one import changed?"""

# ruff: noqa: C408 - dict(…) is the idiom of net specifications

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from google.protobuf import text_format

import netdef
import netdef.pycaffe as caffe
from netdef.pycaffe import layers as L
from netdef.pycaffe import params as P
from netdef.pycaffe.proto import caffe_pb2

LAYER = """
import numpy as np
import netdef.pycaffe as caffe

class Distance(caffe.Layer):
    def setup(self, bottom, top):
        self.scale = float(self.param_str)
    def reshape(self, bottom, top):
        self.diff = np.zeros_like(bottom[0].data)
        top[0].reshape(1)
    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = self.scale * np.sum(self.diff ** 2) / bottom[0].num / 2
    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.scale * self.diff / bottom[i].num
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    caffe.set_mode_cpu()
    caffe.set_random_seed(1)


def digits() -> tuple[Any, Any]:
    """Images of four classes: a bright quarter each."""
    labels = np.arange(64) % 4
    images = 0.1 * np.random.default_rng(0).normal(size=(64, 1, 8, 8)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, 4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 1
    return images, labels


def test_learning(tmp_path: Path) -> None:
    """Write a net and a solver, train them step by step, look at outputs and updates, test, save."""
    images, labels = digits()
    with h5py.File("train.h5", "w") as file:
        file["data"], file["label"] = images, labels.astype(np.float32)
    Path("train.txt").write_text("train.h5\n")

    def net(batch_size: int) -> Any:
        n = caffe.NetSpec()
        n.data, n.label = L.HDF5Data(batch_size=batch_size, source="train.txt", ntop=2)
        n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=6, weight_filler=dict(type="xavier"))
        n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
        n.relu1 = L.ReLU(n.pool1, in_place=True)
        n.score = L.InnerProduct(n.relu1, num_output=4, weight_filler=dict(type="xavier"))
        n.loss = L.SoftmaxWithLoss(n.score, n.label)
        return n.to_proto()

    for name, batch_size in (("train", 16), ("test", 32)):
        Path(f"{name}.prototxt").write_text(str(net(batch_size)))
    s = caffe_pb2.SolverParameter()
    s.train_net, s.max_iter, s.base_lr, s.momentum, s.lr_policy = "train.prototxt", 100, 0.1, 0.9, "fixed"
    s.test_net.append("test.prototxt")
    s.test_iter.append(2)
    s.test_interval = 50
    s.snapshot_prefix = str(tmp_path / "net")
    s.solver_mode = caffe_pb2.SolverParameter.CPU
    Path("solver.prototxt").write_text(str(s))

    solver = caffe.get_solver("solver.prototxt")
    assert [(name, blob.data.shape) for name, blob in solver.net.blobs.items()][2] == ("conv1", (16, 6, 6, 6))
    losses = []
    for _ in range(30):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert losses[-1] < 0.1 * losses[0]
    assert solver.net.params["conv1"][0].diff.any()
    test = solver.test_nets[0]
    test.forward()
    assert (test.blobs["score"].data.argmax(1) == test.blobs["label"].data).all()
    solver.snapshot()
    assert (tmp_path / "net_iter_30.caffemodel").exists()


def test_gradient_ascent_on_the_input(tmp_path: Path) -> None:
    """Deep dreams: patch the net's text, set a layer's diff to its data, follow the gradient of the image."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 8, 8]))
    n.conv = L.Convolution(n.data, kernel_size=3, num_output=4, weight_filler=dict(type="gaussian", std=0.3))
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.conv, kernel_size=2, stride=2)
    model = caffe.io.caffe_pb2.NetParameter()
    text_format.Merge(str(n.to_proto()), model)
    model.force_backward = True
    Path("tmp.prototxt").write_text(str(model))
    net = caffe.Classifier("tmp.prototxt", *_weights("tmp.prototxt"), mean=np.float32([0.5]))
    src, dst = net.blobs["data"], net.blobs["conv"]
    src.reshape(1, 1, 10, 12)
    src.data[0] = np.random.default_rng(0).normal(size=(1, 10, 12))
    norms = []
    for _ in range(5):
        net.forward(end="relu")
        norms.append(float((dst.data**2).sum()))
        dst.diff[:] = dst.data
        net.backward(start="relu")
        gradient = src.diff[0]
        src.data[:] += 0.05 / np.abs(gradient).mean() * gradient
    assert norms == sorted(norms)
    assert norms[-1] > 2 * norms[0]


def test_a_layer_in_python() -> None:
    Path("distances.py").write_text(LAYER)
    text = """
    layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 5 dim: 2 } shape { dim: 5 dim: 3 } } }
    layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    """
    python = 'type: "Python" python_param { module: "distances" layer: "Distance" param_str: "2" } loss_weight: 1'
    built_in = 'type: "EuclideanLoss" loss_weight: 2'
    nets = []
    for name, loss in (("python", python), ("built_in", built_in)):
        Path(f"{name}.prototxt").write_text(
            text + f'layer {{ name: "loss" bottom: "y" bottom: "t" top: "loss" {loss} }}'
        )
        with netdef.allow_python():
            nets.append(caffe.Net(f"{name}.prototxt", caffe.TRAIN))
    sys.modules.pop("distances")
    nets[1].share_with(nets[0])
    x, t = np.random.default_rng(0).normal(size=(5, 2)), np.random.default_rng(1).normal(size=(5, 3))
    for net in nets:
        net.forward(x=x, t=t)
        net.backward()
    assert float(nets[0].blobs["loss"].data[0]) == pytest.approx(2 * float(nets[1].blobs["loss"].data))
    np.testing.assert_allclose(nets[0].params["fc"][0].diff, nets[1].params["fc"][0].diff, rtol=1e-5)


BATCHES = """
import numpy as np
import netdef.pycaffe as caffe

class Batches(caffe.Layer):
    def setup(self, bottom, top):
        self.size = eval(self.param_str)["batch_size"]
        self.random, self.truth = np.random.RandomState(0), np.random.RandomState(1).randn(6, 4)
        top[0].reshape(self.size, 6)
        top[1].reshape(self.size, 4)
    def reshape(self, bottom, top):
        pass
    def forward(self, bottom, top):
        for i in range(self.size):
            x = self.random.randn(6)
            top[0].data[i, ...] = x
            top[1].data[i, ...] = x @ self.truth > 0
    def backward(self, top, propagate_down, bottom):
        pass
"""


def test_multilabel_data_in_python() -> None:
    """A data layer that gives its tops their shapes in `setup` alone; several labels an image."""
    Path("batches.py").write_text(BATCHES)
    n = caffe.NetSpec()
    n.data, n.label = L.Python(module="batches", layer="Batches", ntop=2, param_str=str(dict(batch_size=16)))
    n.score = L.InnerProduct(n.data, num_output=4, weight_filler=dict(type="xavier"))
    n.loss = L.SigmoidCrossEntropyLoss(n.score, n.label)
    Path("net.prototxt").write_text(str(n.to_proto()))
    nets = 'train_net: "net.prototxt" test_net: "net.prototxt" test_iter: 2 test_interval: 1000'
    Path("solver.prototxt").write_text(f'{nets} base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 snapshot_prefix: "s"')
    with netdef.allow_python():
        solver = caffe.SGDSolver("solver.prototxt")
    sys.modules.pop("batches")
    solver.test_nets[0].share_with(solver.net)
    solver.step(60)
    test = solver.test_nets[0]
    test.forward()
    assert (test.blobs["label"].data == (test.blobs["score"].data > 0)).mean() > 0.9


def _weights(prototxt: str) -> list[str]:
    caffe.Net(prototxt, caffe.TEST).save("tmp.caffemodel")
    return ["tmp.caffemodel"]
