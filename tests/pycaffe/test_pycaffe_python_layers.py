"""Do layers in Python live in a pycaffe net as Caffe's do: one object, at hand for the script, for any size?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netdef
import netdef.pycaffe as caffe
from netdef.pycaffe import layers as L
from netdef.pycaffe import params as P
from netdef.pycaffe.memory import Memory

MODULE = "netdef_test_script_layers"
CODE = """
import numpy as np
import torch
import netdef.pycaffe as caffe

made = []

class Regions(caffe.Layer):
    def serve(self, images):
        self.images, self.next = images, 0
    def setup(self, bottom, top):
        self.num_classes = eval(self.param_str)["num_classes"]
        self.serve([np.ones((9, 9))])
        top[0].reshape(1, 1, 9, 9)
        top[1].reshape(1, 5)
    def reshape(self, bottom, top):
        pass
    def forward(self, bottom, top):
        image = self.images[self.next % len(self.images)]
        self.next += 1
        top[0].reshape(1, 1, *image.shape)
        top[0].data[...] = image
        top[1].reshape(2 + self.next, 5)
        top[1].data[...] = self.next
    def backward(self, top, propagate_down, bottom):
        pass

class Images(caffe.Layer):
    sizes = ((20, 24), (22, 18), (16, 16))
    def setup(self, bottom, top):
        self.index = 0
    def reshape(self, bottom, top):
        height, width = self.sizes[self.index]
        top[0].reshape(1, 1, height, width)
        top[1].reshape(1, 1, height, width)
    def forward(self, bottom, top):
        top[0].data[...] = self.index
        top[1].data[...] = self.index
        self.index = (self.index + 1) % 3
    def backward(self, top, propagate_down, bottom):
        pass

class Times(caffe.Layer):
    def __init__(self, p_object, *args, **kwargs):
        super(Times, self).__init__(p_object, *args, **kwargs)
        self.param = p_object
    def setup(self, bottom, top):
        made.append(self)
        self.factor = float(self.param_str)
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = self.factor * top[0].diff

class Halves(Times):
    def forward(self, bottom, top):
        bottom[0].data[...] /= 2
        super().forward(bottom, top)

class Shifts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.by = 0.5
    def forward(self, x):
        return x + self.by
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path(f"{MODULE}.py").write_text(CODE)
    yield
    sys.modules.pop(MODULE, None)


def allowed_net(text: str) -> caffe.Net:
    Path("net.prototxt").write_text(text.replace("MODULE", f'module: "{MODULE}"'))
    with netdef.allow_python():
        return caffe.Net("net.prototxt", caffe.TRAIN)


def allowed_solver(spec: Any) -> caffe.Solver:
    Path("net.prototxt").write_text(str(spec.to_proto()))
    rates = 'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 snapshot_prefix: "s" test_initialization: false'
    Path("solver.prototxt").write_text(f'net: "net.prototxt" test_iter: 1 test_interval: 1000 {rates}')
    with netdef.allow_python():
        return caffe.SGDSolver("solver.prototxt")


def test_a_script_hands_a_data_layer_what_to_serve() -> None:
    n = caffe.NetSpec()
    n.data, n.rois = L.Python(module=MODULE, layer="Regions", ntop=2, param_str="{'num_classes': 21}")
    n.conv = L.Convolution(n.data, num_output=2, kernel_size=3, weight_filler={"type": "xavier"})
    n.pool = L.Pooling(n.conv, global_pooling=True)
    n.silence = L.Silence(n.rois, ntop=0)
    n.loss = L.Reduction(n.pool, loss_weight=1)
    solver = allowed_solver(n)
    layer = solver.net.layers[0]
    layer.serve([np.full((12, 14), 2), np.full((16, 10), 3)])
    shapes = []
    for _ in range(2):
        solver.step(1)
        shapes.append((solver.net.blobs["data"].data.shape, solver.net.blobs["rois"].data.shape))
    assert shapes == [((1, 1, 12, 14), (3, 5)), ((1, 1, 16, 10), (4, 5))]
    assert (layer.type, layer.num_classes, layer.next) == ("Python", 21, 2)
    layer.next = 0
    solver.step(1)
    assert solver.net.blobs["data"].data.shape == (1, 1, 12, 14)
    with pytest.raises(AttributeError):
        _ = layer.no_such_thing


def test_every_image_has_its_own_size() -> None:
    """The layers of a fully convolutional net follow, in training and in tests."""
    n = caffe.NetSpec()
    n.data, n.label = L.Python(module=MODULE, layer="Images", ntop=2)
    n.conv = L.Convolution(n.data, kernel_size=3, pad=10, num_output=4, weight_filler={"type": "xavier"})
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.score = L.Convolution(n.pool, kernel_size=1, num_output=3)
    up = {"num_output": 3, "kernel_size": 4, "stride": 2, "bias_term": False}
    n.up = L.Deconvolution(n.score, convolution_param=up, param=[{"lr_mult": 0}])
    n.crop = caffe.coord_map.crop(n.up, n.data)
    n.loss = L.SoftmaxWithLoss(n.crop, n.label, loss_param={"normalize": False})
    solver = allowed_solver(n)
    shapes = []
    for _ in range(4):
        solver.step(1)
        shapes.append(solver.net.blobs["crop"].shape[2:])
    assert shapes == [(20, 24), (22, 18), (16, 16), (20, 24)]
    (test,) = solver.test_nets
    test.share_with(solver.net)
    tested = []
    for _ in range(3):
        test.forward()
        tested.append(test.blobs["crop"].shape[2:])
    assert tested == shapes[:3]


TIMES = """
input: "x" input_shape { dim: 2 dim: 3 }
layer { name: "times" type: "Python" bottom: "x" top: "y" python_param { MODULE layer: "Times" param_str: "3" } }
"""


def test_one_object_from_setup_on() -> None:
    net = allowed_net(TIMES)
    made = sys.modules[MODULE].made
    assert len(made) == 1
    assert made[0].param.python_param.param_str == "3"
    net.blobs["x"].data[...] = 1
    assert (net.forward()["y"] == 3).all()
    net.layers[1].factor = 5
    net.blobs["x"].reshape(4, 7)
    net.reshape()
    assert net.blobs["y"].data.shape == (4, 7)
    net.blobs["x"].data[...] = 2
    assert (net.forward()["y"] == 10).all()
    assert len(made) == 1


def test_what_a_layer_writes_into_its_bottom_is_seen_on_a_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numpy side of a blob is a copy there, made before the layer ran."""
    made = Memory.__init__

    def mirrored(self: Memory, tensor: Any) -> None:
        made(self, tensor)
        self.mirrored, self._array = True, None

    monkeypatch.setattr(Memory, "__init__", mirrored)
    net = allowed_net(TIMES.replace("Times", "Halves"))
    net.blobs["x"].data[...] = 4
    net.forward()
    assert (net.blobs["x"].data == 2).all()
    assert (net.blobs["y"].data == 6).all()


def test_a_second_net_has_its_own_object() -> None:
    Path("net.prototxt").write_text(TIMES.replace("MODULE", f'module: "{MODULE}"'))
    with netdef.allow_python():
        nets = [caffe.Net("net.prototxt", caffe.TRAIN) for _ in range(2)]
    nets[0].layers[1].factor = 7
    assert nets[1].layers[1].factor == 3


def test_a_torch_module_is_at_hand_too() -> None:
    net = allowed_net(TIMES.replace('"Times" param_str: "3"', '"Shifts"'))
    net.layers[1].by = 2
    net.blobs["x"].data[...] = 1
    assert (net.forward()["y"] == 3).all()
