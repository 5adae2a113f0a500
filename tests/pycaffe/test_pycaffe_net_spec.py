"""Does Python code write the nets that it writes with Caffe's net_spec?"""

# ruff: noqa: C408 - dict(…) is the idiom of net specifications

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import netdef.pycaffe as caffe
from netdef import NetdefError
from netdef.pycaffe import layers as L
from netdef.pycaffe import params as P
from netdef.pycaffe.proto import caffe_pb2
from netdef.schema import netdef_pb2 as pb
from netdef.schema import read_message


def lenet() -> Any:
    """The net of Caffe's tutorial "Learning LeNet", in its words."""
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=64, backend=P.Data.LMDB, source="train_lmdb", transform_param=dict(scale=1.0 / 256), ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool1, num_output=500, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


LENET = """\
layer {
  name: "data"
  type: "Data"
  top: "data"
  top: "label"
  transform_param {
    scale: 0.00390625
  }
  data_param {
    source: "train_lmdb"
    batch_size: 64
    backend: LMDB
  }
}
layer {
  name: "conv1"
  type: "Convolution"
  bottom: "data"
  top: "conv1"
  convolution_param {
    num_output: 20
    kernel_size: 5
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "pool1"
  type: "Pooling"
  bottom: "conv1"
  top: "pool1"
  pooling_param {
    pool: MAX
    kernel_size: 2
    stride: 2
  }
}
layer {
  name: "fc1"
  type: "InnerProduct"
  bottom: "pool1"
  top: "fc1"
  inner_product_param {
    num_output: 500
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "relu1"
  type: "ReLU"
  bottom: "fc1"
  top: "fc1"
}
layer {
  name: "score"
  type: "InnerProduct"
  bottom: "fc1"
  top: "score"
  inner_product_param {
    num_output: 10
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "loss"
  type: "SoftmaxWithLoss"
  bottom: "score"
  bottom: "label"
  top: "loss"
}
"""


def test_lenet_is_the_text_of_caffes_tutorial() -> None:
    assert str(lenet()) == LENET


def test_names_are_made_of_types_and_numbers() -> None:
    data, label = L.DummyData(shape=[dict(dim=[2, 3]), dict(dim=[2])], ntop=2)
    one = L.InnerProduct(data, num_output=4)
    two = L.InnerProduct(one, num_output=4)
    net = caffe.to_proto(L.EuclideanLoss(two, label))
    assert [layer.name for layer in net.layer] == ["DummyData1", "InnerProduct1", "InnerProduct2", "EuclideanLoss1"]
    assert list(net.layer[0].top) == ["DummyData1", "DummyData2"]
    assert list(net.layer[3].bottom) == ["InnerProduct2", "DummyData2"]
    assert net == caffe.to_proto(L.EuclideanLoss(two, label))
    assert two.to_proto() == caffe.to_proto(two)


def test_fields_of_the_layer_and_of_its_message() -> None:
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 3, 8, 8]))
    n.up = L.Deconvolution(
        n.data,
        convolution_param=dict(num_output=2, kernel_size=4, stride=2, bias_term=False),
        param=[dict(lr_mult=0)],
        include=dict(phase=caffe.TEST),
        loss_weight=2,
    )
    n.mine = L.Python(n.up, module="losses", layer="Focal", param_str="{}", loss_weight=[1])
    up, mine = n.to_proto().layer[1:]
    assert up.convolution_param.kernel_size == [4]
    assert up.convolution_param.HasField("bias_term")
    assert [param.lr_mult for param in up.param] == [0]
    assert up.include[0].phase == caffe_pb2.TEST
    assert list(up.loss_weight) == [2]
    assert (mine.python_param.module, mine.python_param.layer) == ("losses", "Focal")
    assert mine.name == "mine"


def test_a_layer_without_tops_and_names_by_string() -> None:
    n = caffe.NetSpec()
    n["in/a"], n.b = L.DummyData(shape=dict(dim=[1]), ntop=2)
    n.quiet = L.Silence(n["in/a"], ntop=0)
    del n.b
    net = n.to_proto()
    assert [(layer.name, list(layer.top)) for layer in net.layer] == [("in/a", ["in/a", "DummyData1"]), ("quiet", [])]
    assert list(n.keys()) == ["in/a", "quiet"]


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(str(lenet()))
    assert read_message(path, pb.NetParameter).message == lenet()


ERRORS: dict[str, tuple[str, str, Callable[[], object]]] = {
    "no such field": (
        "ND1013",
        "num_output",
        lambda: caffe.to_proto(L.InnerProduct(_x(), inner_product_param={"num_outputs": 3})),
    ),
    "no such field of the layer": ("ND1013", "", lambda: caffe.to_proto(L.ReLU(_x(), kernel_size=3))),
    "a value of another kind": ("ND1013", "", lambda: caffe.to_proto(L.InnerProduct(_x(), num_output="many"))),
    "a bottom that is none": ("ND1012", "tuple", lambda: L.ReLU("data")),
    "a tuple as bottom": ("ND1012", "unpack", lambda: L.ReLU(L.Data(ntop=2))),
}


def _x() -> Any:
    return L.Input(shape=dict(dim=[1, 2]))


@pytest.mark.parametrize(("code", "help", "call"), ERRORS.values(), ids=ERRORS)
def test_errors(code: str, help: str, call: Callable[[], object]) -> None:
    with pytest.raises(NetdefError) as caught:
        call()
    found = caught.value.diagnostics[0]
    assert found.code == code
    assert help in " ".join((found.message, *([found.help] if isinstance(found.help, str) else found.help)))


def test_names_of_the_layers_messages() -> None:
    names = caffe.net_spec.param_name_dict()
    assert (names["InnerProduct"], names["Convolution"], names["LRN"]) == ("inner_product", "convolution", "lrn")


def test_names_that_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="NoSuchParameter"):
        P.NoSuch.MAX  # noqa: B018
    with pytest.raises(AttributeError, match="conv9"):
        caffe.NetSpec().conv9  # noqa: B018
