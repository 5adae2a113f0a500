"""Does pycaffe's Net compute what real Caffe's did: every golden net and layer, layer by layer, in live blobs?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor

import netdef.pycaffe as caffe
from netdef.pycaffe.memory import Memory
from tests.golden_cases import GOLDEN, Arrays, arrays, assert_close, cases, group, prototxt

PHASES = {"TRAIN": caffe.TRAIN, "TEST": caffe.TEST}
NETS = cases("nets")
LAYERS = [case for case in cases("layers") if case["layer_type"] not in ("DummyData", "Python")]
LOOSER = {"infogain_bottom": 1e-4, "infogain_spatial_ignore": 1e-4}
"""As for the torch module (tests/layers/test_golden.py): a sum whose terms cancel."""


@pytest.mark.parametrize("case", NETS, ids=[case["name"] for case in NETS])
def test_net(case: dict[str, Any]) -> None:
    weights = str(GOLDEN / case["dir"] / "weights.caffemodel")
    net = caffe.Net(str(prototxt(case)), PHASES[case["phase"]], weights=weights)
    held = arrays(case)
    feed(net, held)
    outputs = net.forward()
    assert set(outputs) == set(group(held, "top"))
    for name, expected in group(held, "blob").items():
        assert_close(net.blobs[name].data, expected, 1e-5, name)
    check_backward(case["name"], net, held)


@pytest.mark.parametrize("case", LAYERS, ids=[case["name"] for case in LAYERS])
def test_layer(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prototxt(case).parent)
    net = caffe.Net(str(prototxt(case)), PHASES[case["phase"]])
    held = arrays(case)
    for key, value in group(held, "param").items():
        layer, _, index = key.rpartition(".")
        net.params[layer][int(index)].data[...] = value
    if group(held, "bottom_prev"):
        feed(net, held, "bottom_prev")
        net.forward()
    feed(net, held)
    net.forward()
    tolerance = LOOSER.get(case["name"], 1e-5)
    for name, expected in group(held, "top").items():
        assert_close(net.blobs[name].data, expected, tolerance, name)
    for key, expected in group(held, "param_after").items():
        layer, _, index = key.rpartition(".")
        assert_close(net.params[layer][int(index)].data, expected, tolerance, key)
    if case["backward"]:
        check_backward(case["name"], net, held)


def feed(net: caffe.Net, held: Arrays, what: str = "bottom") -> None:
    for name, value in group(held, what).items():
        net.blobs[name].data[...] = value


def check_backward(name: str, net: caffe.Net, held: Arrays) -> None:
    diffs = group(held, "topdiff")
    for blob, value in diffs.items():
        net.blobs[blob].diff[...] = value
    if not diffs:
        return
    net.backward()
    tolerance = LOOSER.get(name, 1e-5)
    for blob, expected in group(held, "bottomdiff").items():
        assert_close(net.blobs[blob].diff, expected, tolerance, f"diff of {blob}")
    terms = max((float(np.abs(diff).max(initial=0)) for diff in group(held, "bottomdiff").values()), default=1e-3)
    for key, expected in group(held, "paramdiff").items():
        layer, _, index = key.rpartition(".")
        if net.params[layer][int(index)].learns:
            assert_close(net.params[layer][int(index)].diff, expected, tolerance, f"diff of {key}", terms)


def test_memory_that_is_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: numpy sees a copy, brought up to date when asked for, carried over at the next use."""
    made = Memory.__init__

    def mirrored(self: Memory, tensor: Tensor) -> None:
        made(self, tensor)
        self.mirrored, self._array = True, None

    monkeypatch.setattr(Memory, "__init__", mirrored)
    case = next(case for case in NETS if case["name"] == "residual")
    test_net(case)
    monkeypatch.chdir(GOLDEN / "solvers" / "sgd_bn")
    solver = caffe.get_solver("solver.prototxt")
    want = np.load("case.npz")
    for layer, blobs in solver.net.params.items():
        for index, blob in enumerate(blobs):
            blob.data[...] = want[f"init.{layer}.{index}"]
    solver.step(10)
    for layer, blobs in solver.net.params.items():
        for index, blob in enumerate(blobs):
            np.testing.assert_allclose(blob.data, want[f"iter10.{layer}.{index}"], rtol=1e-3, atol=1e-5)
