"""HDF5Output: what lies in the file after one forward and after two, and what it refuses."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from netdef.diagnostics import RunError
from netdef.layers import Mismatch
from netdef.nn import Hdf5Writer
from netdef.targets.torch import build_module
from tests.graph.compiling import graph
from tests.layer_decoding import decode, made, shapes

LAYER = "type: 'HDF5Output' bottom: 'x' bottom: 'y' hdf5_output_param {{ file_name: '{}' }}"
NET = "input: 'x' input_shape {{ dim: [2, 3] }} input: 'y' input_shape {{ dim: 2 }} layer {{ name: 'o' {} }}"


@pytest.mark.parametrize(
    ("bottoms", "says"),
    [
        pytest.param("2x3 2", None, id="rows agree"),
        pytest.param("?x3 2", None, id="unknown rows"),
        pytest.param("? ?", None, id="nothing known"),
        pytest.param("2x3 3", "2 of the first bottom, 3 of the second", id="rows differ"),
        pytest.param("2x1x1x1x1 2", "1 to 4 axes, found 5", id="too many axes"),
        pytest.param("2 scalar", "found 0", id="no rows"),
    ],
)
def test_shapes(bottoms, says):
    layer = made(LAYER.format("a.h5"))
    if says is None:
        assert layer.infer(shapes(bottoms)) == ()
        return
    with pytest.raises(Mismatch, match=says) as caught:
        layer.infer(shapes(bottoms))
    assert caught.value.code == "ND0481"


def test_needs_a_file():
    _, (found,) = decode("type: 'HDF5Output' bottom: 'x' bottom: 'y'")
    assert found.code == "ND0480"


def test_rows_are_added(tmp_path):
    path = tmp_path / "o.h5"
    path.write_text("what was here before")
    module = build_module(graph(NET.format(LAYER.format(path))))
    assert path.read_text() == "what was here before"
    x = torch.arange(12.0).reshape(4, 3)
    y = torch.arange(4.0)
    module(x=x[:2], y=y[:2])
    module(x=x[2:], y=y[2:])
    with h5py.File(path) as file:
        assert file["data"].dtype == np.float32
        assert np.array_equal(file["data"], x.reshape(4, 3, 1, 1))
        assert np.array_equal(file["label"], y.reshape(4, 1, 1, 1))


def test_no_folder(tmp_path):
    with pytest.raises(RunError, match="ND0581"):
        Hdf5Writer(str(tmp_path / "nowhere" / "o.h5"))(torch.zeros(1, 2), torch.zeros(1))


def test_rows_of_another_size(tmp_path):
    writer = Hdf5Writer(str(tmp_path / "o.h5"))
    writer(torch.zeros(1, 2), torch.zeros(1))
    with pytest.raises(RunError, match="ND0581"):
        writer(torch.zeros(1, 3), torch.zeros(1))
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["data"].shape == (1, 2, 1, 1)
