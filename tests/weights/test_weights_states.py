"""Are real Caffe's solver states read, ours laid out like them, and run states kept whole?"""

from pathlib import Path

import h5py
import numpy as np
import pytest

from netdef.diagnostics import NetdefError
from netdef.schema import weights_pb2 as pb
from netdef.weights import (
    LayerWeights,
    SolverStateFile,
    read_run_state,
    read_solverstate,
    write_caffemodel,
    write_run_state,
    write_solverstate,
)

SNAPSHOTS = Path(__file__).parents[1] / "golden/snapshots"
FILES = sorted(SNAPSHOTS.glob("*/*.solverstate*"))


def refused(read, path):
    with pytest.raises(NetdefError) as caught:
        read(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.parent.name)
def test_golden(path):
    with np.load(path.parent / "case.npz") as stored:
        case = dict(stored)
    state = read_solverstate(path)
    assert state.iter == case["state_iter"]
    assert state.current_step == case["state_current_step"]
    assert state.learned_net == path.name.replace("solverstate", "caffemodel")
    expected = [case[f"history.{i}"] for i in range(sum(key.startswith("history.") for key in case))]
    assert len(state.history) == len(expected) > 0
    assert all(np.array_equal(a, b) for a, b in zip(state.history, expected, strict=True))


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix != ".h5"], ids=lambda p: p.parent.name)
def test_written_as_caffe_wrote_it(path, tmp_path):
    write_solverstate(tmp_path / "s", read_solverstate(path))
    original = pb.SolverState.FromString(path.read_bytes())
    found = pb.SolverState.FromString((tmp_path / "s").read_bytes())
    assert found == original
    assert (tmp_path / "s").read_bytes() == found.SerializeToString(deterministic=True)


def test_hdf5_is_laid_out_like_caffes(tmp_path):
    original = SNAPSHOTS / "sgd_hdf5/snap_iter_15.solverstate.h5"
    write_solverstate(tmp_path / "s", read_solverstate(original), as_hdf5=True)

    def listing(path):
        found = {}
        with h5py.File(path) as root:
            root.visititems(lambda name, node: found.update({name: node}))
            return {
                name: (node.shape, node.dtype, node[()].tolist()) if isinstance(node, h5py.Dataset) else None
                for name, node in found.items()
            }

    assert listing(tmp_path / "s") == listing(original)


@pytest.mark.parametrize("as_hdf5", [False, True])
def test_round_trip(tmp_path, as_hdf5):
    history = (np.float32([[1, 2]]), np.float32(3).reshape(()), np.zeros((0, 4), np.float32))
    write_solverstate(tmp_path / "s", SolverStateFile(7, "ünet.caffemodel", 3, history), as_hdf5=as_hdf5)
    state = read_solverstate(tmp_path / "s")
    assert (state.iter, state.learned_net, state.current_step) == (7, "ünet.caffemodel", 3)
    assert [a.tolist() for a in state.history] == [a.tolist() for a in history]
    assert [a.shape for a in state.history] == [a.shape for a in history]


def test_weights_given_as_a_state(tmp_path):
    write_caffemodel(tmp_path / "w", "net", [LayerWeights("l", "Bias", (np.float32([1]),))])
    found = refused(read_solverstate, tmp_path / "w")
    assert found.code == "ND0607"
    assert "weights where a solver state should be" in found.message
    assert "--weights" in found.help[0]


@pytest.mark.parametrize("name", ["iter", "current_step", "history"])
def test_hdf5_without_a_part(tmp_path, name):
    path = tmp_path / "s"
    write_solverstate(path, SolverStateFile(1, "n", 0, (np.float32([1]),)), as_hdf5=True)
    with h5py.File(path, "r+") as root:
        del root[name]
    found = refused(read_solverstate, path)
    assert (found.code, name in found.message) == ("ND0615", True)


def test_hdf5_history_with_a_gap(tmp_path):
    path = tmp_path / "s"
    write_solverstate(path, SolverStateFile(1, "n", 0, (np.float32([1]),) * 3), as_hdf5=True)
    with h5py.File(path, "r+") as root:
        del root["history/1"]
    assert refused(read_solverstate, path).code == "ND0615"


def test_run_state(tmp_path):
    arrays = {
        "rng": np.arange(5, dtype=np.uint8),
        "deep": np.float64([[1, 2], [3, 4]]),
        "flag": np.array(True),
        "i": np.array(-3),
        "half": np.float16([1]),
        "none": np.zeros((0, 2), np.float32),
    }
    meta = {"position": 17, "losses": [1.5, 2.5], "nested": {"a": None, "b": "ü"}}
    write_run_state(tmp_path / "r", arrays, meta)
    found, values = read_run_state(tmp_path / "r")
    assert values == meta
    assert {k: (v.dtype, v.tolist()) for k, v in found.items()} == {k: (v.dtype, v.tolist()) for k, v in arrays.items()}


def test_weights_given_as_a_run_state():
    found = refused(read_run_state, SNAPSHOTS / "sgd_binaryproto/snap_iter_15.caffemodel")
    assert found.code == "ND0607"
