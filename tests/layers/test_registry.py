"""Has every layer type all its rules, a case from an independent source, and a page?"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from netdef.layers import Layer, registry
from tests.golden_cases import index

TESTS = Path(__file__).parents[1]

BVLC = frozenset(
    """
    AbsVal Accuracy ArgMax BatchNorm BatchReindex Bias BNLL Clip Concat ContrastiveLoss Convolution Crop Data
    Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss
    Im2col ImageData InfogainLoss InnerProduct Input Log LRN LSTM LSTMUnit MemoryData MultinomialLogisticLoss MVN
    Parameter Pooling Power PReLU Python Reduction ReLU Reshape RNN Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice
    Softmax SoftmaxWithLoss Split SPP Swish TanH Threshold Tile WindowData
    """.split()  # noqa: SIM905
)
"""The types that BVLC Caffe registers (commit 9b89154)."""

MULTIPLIES = {"Convolution", "Deconvolution", "InnerProduct", "LSTM", "RNN"}
"""Types that need a rule for cost of their own: what works element by element counts as 0."""

ELSEWHERE = {
    "HDF5Output": "layers/test_output.py",
    "Input": "graph/test_infer.py",
    "MemoryData": "data/test_source.py",
    "Python": "layers/test_python.py",
    "WindowData": "data/test_windows.py",
}
"""Types that real Caffe's golden files do not hold (they need files, or a program), and where their cases are."""

TYPES = sorted(registry())


def test_all_of_bvlc_is_there():
    assert len(BVLC) == 61
    assert set(registry()) >= BVLC


@pytest.mark.parametrize("name", TYPES)
def test_rules(name):
    kind = registry()[name]
    assert kind.type == name
    assert kind.decode.__func__ is not Layer.decode.__func__
    assert kind.infer is not Layer.infer
    if not kind.is_source:
        assert kind.torch is not Layer.torch
        assert kind.onnx is not Layer.onnx
    assert (kind.cost is not Layer.cost) >= (name in MULTIPLIES)


@pytest.mark.parametrize("name", sorted(BVLC & set(TYPES)))
def test_cases_from_elsewhere(name):
    golden = [case for case in index() if case["layer_type"] == name]
    if name in ELSEWHERE:
        assert not golden
        assert name in (TESTS / ELSEWHERE[name]).read_text()
    else:
        assert golden


@pytest.mark.parametrize("name", TYPES)
def test_documented(name):
    """A docstring says what it computes and where in Caffe it stands; every rule has one of its own."""
    kind = registry()[name]
    page = inspect.getdoc(kind) or ""
    assert len(page) > 40
    if name in BVLC:
        assert re.search(r"Source: .*[ch]pp", page, re.DOTALL), page
    for rule in ("decode", "infer", "cost", "torch", "onnx"):
        assert getattr(kind, rule).__doc__


def test_one_class_is_one_type():
    kinds = list(registry().values())
    assert len(set(kinds)) == len(kinds)
    assert all(kind.__name__ == name for name, kind in registry().items())
