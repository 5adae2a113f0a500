"""Is an old .caffemodel written in today's layout, with its settings, types, names and arrays?"""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

from netdef.schema import netdef_pb2 as pb
from netdef.weights import read_weights
from netdef.weights.upgrade import upgrade_weights
from tests.golden_cases import GOLDEN

BLOB_W = "blobs { num: 1 channels: 1 height: 2 width: 3 data: [1, 2, 3, 4, 5, 6] }"
BLOB_B = "blobs { num: 1 channels: 1 height: 1 width: 2 data: [7, 8] }"
BLOB_K = "blobs { num: 2 channels: 1 height: 1 width: 1 data: [1, 2] }"
NEW_W = "blobs { shape { dim: [2, 3] } data: [1, 2, 3, 4, 5, 6] }"
NEW_B = "blobs { shape { dim: 2 } data: [7, 8] }"
NEW_K = "blobs { shape { dim: [2, 1, 1, 1] } data: [1, 2] }"

CASES = [
    pytest.param(
        f"name: 'n' layers {{ name: 'f' type: INNER_PRODUCT bottom: 'x' top: 'y' {BLOB_W} {BLOB_B} blobs_lr: 1"
        " inner_product_param { num_output: 2 } }",
        f"name: 'n' layer {{ name: 'f' type: 'InnerProduct' bottom: 'x' top: 'y' {NEW_W} {NEW_B} param {{ lr_mult: 1 }}"
        " inner_product_param { num_output: 2 } }",
        id="V1",
    ),
    pytest.param(
        "layers { layer { name: 'p' type: 'padding' pad: 1 } bottom: 'x' top: 'p' }"
        f" layers {{ layer {{ name: 'c' type: 'conv' num_output: 2 kernelsize: 1 {BLOB_K} {BLOB_B} }}"
        " bottom: 'p' top: 'c' }",
        f"layer {{ name: 'c' type: 'Convolution' bottom: 'x' top: 'c' {NEW_K} {NEW_B}"
        " convolution_param { num_output: 2 kernel_size: 1 pad: 1 } }",
        id="V0 with a padding layer",
    ),
    pytest.param(
        f"layer {{ name: 'f' type: 'InnerProduct' {BLOB_W} }}",
        f"layer {{ name: 'f' type: 'InnerProduct' {NEW_W} }}",
        id="today's layers, old shapes",
    ),
    pytest.param(
        f"input: 'x' input_dim: [1, 3, 1, 1] layers {{ name: 'f' type: INNER_PRODUCT bottom: 'x' {BLOB_W} }}",
        "layer { name: 'input' type: 'Input' top: 'x' input_param { shape { dim: [1, 3, 1, 1] } } }"
        f" layer {{ name: 'f' type: 'InnerProduct' bottom: 'x' {NEW_W} }}",
        id="inputs",
    ),
    pytest.param(
        f"layers {{ name: 'f' type: INNER_PRODUCT {BLOB_W} }} layers {{ name: 'f' type: RELU }}",
        f"layer {{ name: 'f' type: 'InnerProduct' {NEW_W} }} layer {{ name: 'f' type: 'ReLU' }}",
        id="one name twice",
    ),
]


def message(text: str) -> pb.NetParameter:
    return text_format.Parse(text, pb.NetParameter())


@pytest.mark.parametrize(("old", "new"), CASES)
def test_meaning(tmp_path, old, new):
    source, target = tmp_path / "old.bin", tmp_path / "new.bin"
    source.write_bytes(message(old).SerializeToString())
    outcome = upgrade_weights(source, target)
    assert outcome.changed
    assert outcome.diagnostics == ()
    assert pb.NetParameter.FromString(target.read_bytes()) == message(new)
    again = upgrade_weights(target, tmp_path / "again.bin")
    assert not again.changed
    assert (tmp_path / "again.bin").read_bytes() == target.read_bytes()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\x22\x01f" + b"\x28\x4d", id="a fork's type"),
        pytest.param(b"\x22\x01f" + b"\x28\x0e" + b"\xc2\x3e\x01a", id="a fork's field"),
    ],
)
def test_what_forks_write(tmp_path, head):
    blob = pb.BlobProto(num=1, channels=1, height=1, width=2, data=[1, 2]).SerializeToString()
    layer = head + b"\x32" + bytes([len(blob)]) + blob
    source, target = tmp_path / "old.bin", tmp_path / "new.bin"
    source.write_bytes(b"\x12" + bytes([len(layer)]) + layer)
    outcome = upgrade_weights(source, target)
    assert [d.code for d in outcome.diagnostics] == ["ND0618"]
    assert np.array_equal(np.ravel(read_weights(target)["f"][0]), [1, 2])


def test_golden_over_itself(tmp_path):
    path = tmp_path / "a.caffemodel"
    path.write_bytes((GOLDEN / "nets/legacy_v1/weights.caffemodel").read_bytes())
    before = {name: [blob.copy() for blob in blobs] for name, blobs in read_weights(path).items()}
    upgrade_weights(path, path)
    after = read_weights(path)
    assert {name: [b.shape for b in blobs] for name, blobs in after.items()} == {
        "conv1": [(4, 3, 3, 3), (4,)],
        "ip1": [(6, 64), (6,)],
    }
    for name, blobs in before.items():
        assert all(np.array_equal(a.ravel(), b.ravel()) for a, b in zip(blobs, after[name], strict=True))
