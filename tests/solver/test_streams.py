"""Do several processes share out the streams of a recurrent net, whose rows are steps?"""

from __future__ import annotations

import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from netdef.data.reader import Shard
from netdef.diagnostics import NetdefError, Source
from netdef.graph import Options, load
from netdef.graph.rebatch import Divisible
from netdef.solver.nets import compile_choice, read_config
from netdef.solver.part import shared_out
from netdef.solver.shares import terms
from netdef.weights import read_run_state, read_solverstate
from tests.solver import small_run
from tests.solver.test_distributed import PLAIN, assert_near, traces, train

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and gloo as on Linux")

NET = """
layer {{ name: "steps" type: "HDF5Data" top: "x" top: "cont" top: "label"
  hdf5_data_param {{ source: "{folder}/steps.txt" batch_size: 5 }} }}
layer {{ name: "stills" type: "HDF5Data" top: "still"
  hdf5_data_param {{ source: "{folder}/stills.txt" batch_size: 7 }} }}
layer {{ name: "two" type: "DummyData" top: "two" dummy_data_param {{ shape {{ dim: 1 }}
  data_filler {{ type: "constant" value: 2 }} }} }}
layer {{ name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" bottom: "still" top: "lstm"
  recurrent_param {{ num_output: 6 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "square" type: "Reshape" bottom: "lstm" top: "square"
  reshape_param {{ shape {{ dim: 5 dim: 7 dim: 2 dim: -1 }} }} }}
layer {{ name: "rnn" type: "RNN" bottom: "square" bottom: "cont" top: "rnn"
  recurrent_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "rnn" top: "ip"
  inner_product_param {{ num_output: 3 axis: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" softmax_param {{ axis: 2 }}
  loss_param {{ ignore_label: -1 }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  accuracy_param {{ axis: 2 ignore_label: -1 }} }}
layer {{ name: "far" type: "EuclideanLoss" bottom: "ip" bottom: "x" top: "far" loss_weight: 0.1 }}
layer {{ name: "scaled" type: "Scale" bottom: "ip" top: "scaled" scale_param {{ axis: 2 }} }}
layer {{ name: "mean" type: "Reduction" bottom: "scaled" top: "mean" loss_weight: 0.3
  reduction_param {{ operation: MEAN axis: 1 }} }}
layer {{ name: "learnt" type: "Parameter" top: "learnt" parameter_param {{ shape {{ dim: 1 }} }} }}
layer {{ name: "kept" type: "EuclideanLoss" bottom: "two" bottom: "learnt" top: "kept" loss_weight: 0.5 }}
"""


def make(folder: Path) -> None:
    """40 steps of 7 streams, some of which begin anew in mid-batch; some labels do not count."""
    rng = np.random.default_rng(1)
    with h5py.File(folder / "steps.h5", "w") as file:
        file["x"] = rng.standard_normal((40, 7, 3)).astype(np.float32)
        file["cont"] = (rng.random((40, 7)) > 0.15).astype(np.float32)
        file["label"] = rng.integers(-1, 3, (40, 7)).astype(np.float32)
    with h5py.File(folder / "stills.h5", "w") as file:
        file["still"] = rng.standard_normal((21, 2, 2)).astype(np.float32)
    for name in ("steps", "stills"):
        (folder / f"{name}.txt").write_text(f"{folder}/{name}.h5\n")


@pytest.mark.parametrize(
    ("count", "more"),
    [(2, ""), pytest.param(4, "", marks=pytest.mark.slow), pytest.param(2, "parallel: FSDP", marks=pytest.mark.slow)],
    ids=["2", "4", "2_in_parts"],
)
def test_several_processes_follow_one(tmp_path: Path, count: int, more: str) -> None:
    """Parts of 3 and 4 streams, or of 1 and 2; the state goes on from batch to batch, in the test net as well."""
    for processes in (1, count):
        (tmp_path / f"{processes}_streams").mkdir()
        make(tmp_path / f"{processes}_streams")
    one, several = (traces(tmp_path, processes, {"streams": (NET, more)})["streams"] for processes in (1, count))
    assert {line["kind"] for line in one} == {"train", "test"}
    assert_near(several, one)


def test_resume_is_exact(tmp_path: Path) -> None:
    """The state of all streams is in the snapshot, in one array each, whoever computed them."""
    for name in ("whole", "parts", "alone"):
        (tmp_path / name).mkdir()
        make(tmp_path / name)
        small_run.make(tmp_path / name, " display: 1", net=NET)
    train(tmp_path / "whole", "--processes", "2")
    train(tmp_path / "parts", "--processes", "2", "--iterations", "5")
    train(tmp_path / "parts", "--processes", "2", "--resume", "auto")
    train(tmp_path / "alone")
    histories, states = [], []
    for name in ("whole", "parts", "alone"):
        histories.append(read_solverstate(tmp_path / name / "out/snap_iter_20.solverstate").history)
        states.append(read_run_state(tmp_path / name / "out/snap_iter_20.runstate")[0])
    for whole, parts in zip(*histories[:2], strict=True):
        np.testing.assert_array_equal(whole, parts)
    carried = [name for name in states[0] if name.startswith("net0.") and "state" in name]
    assert len(carried) == 3
    for name in carried:
        assert states[0][name].shape[1] == 7
        np.testing.assert_array_equal(states[0][name], states[1][name])
        np.testing.assert_allclose(states[0][name], states[2][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("more", ["", pytest.param("parallel: FSDP", marks=pytest.mark.slow)], ids=["", "in_parts"])
def test_debug_info_tells_of_the_whole_batch(tmp_path: Path, more: str) -> None:
    """Every line of two processes is that of one: blobs, parameters, gradients, and the totals."""
    names = {"streams": NET, "rows": PLAIN}
    for count in (1, 2):
        (tmp_path / f"{count}_streams").mkdir()
        make(tmp_path / f"{count}_streams")
        traces(tmp_path, count, {name: (net, f"debug_info: true {more}") for name, net in names.items()})
    for name in names:
        one, two = ((tmp_path / f"{count}_{name}/debug").read_text().splitlines() for count in (1, 2))
        assert len(one) == len(two) > 100
        for a, b in zip(one, two, strict=True):
            (words, found), (others, expected) = split(b), split(a)
            assert words == others
            assert found == pytest.approx(expected, rel=2e-3, abs=1e-6), a


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def split(line: str) -> tuple[str, list[float]]:
    """A line without its numbers, and these."""
    return NUMBER.sub("#", line), [float(number) for number in NUMBER.findall(line)]


SLICED = """
layer {{ name: "halves" type: "Slice" bottom: "ip" top: "a" top: "b" slice_param {{ axis: 0 }} }}
layer {{ name: "apart" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "apart" }}
"""
NOT_LINEAR = """
layer {{ name: "sum" type: "Reduction" bottom: "ip" top: "sum" }}
layer {{ name: "square" type: "Power" bottom: "sum" top: "square" power_param {{ power: 2 }} loss_weight: 1 }}
"""
EVEN = PLAIN.replace("batch_size: 7", "batch_size: 8").replace("batch_size: 9", "batch_size: 8")
FLAT = NET.replace('stills.txt" batch_size: 7', 'stills.txt" batch_size: 20').replace(
    'bottom: "still" top: "lstm"', 'top: "lstm"'
)

REFUSED = {
    "halves": (EVEN + SLICED, "", 2, 'Slice "halves" cannot be shared out: it takes rows from all over the batch'),
    "not_linear": (EVEN + NOT_LINEAR, "", 2, 'it makes one value of all rows, and other layers compute with "sum"'),
    "few": (NET, "", 8, 'the 7 rows of "steps" cannot be shared out to 8 processes'),
    "turns": (NET, "batch: PER_DEVICE", 2, '"steps" reads steps of streams, at which processes'),
    "flat": (FLAT, "", 2, '"still" (20x2x2) begins neither with the 7 streams nor with 5 steps of them'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_shared_out(tmp_path: Path, case: str) -> None:
    net, more, count, expected = REFUSED[case]
    make(tmp_path)
    small_run.make(tmp_path, more, net=net)
    config, _ = read_config(str(tmp_path / "solver.prototxt"))
    with pytest.raises(NetdefError, match=re.escape(expected)) as caught:
        shared_out(compile_choice(config.train, config), config, Shard(0, count))
    (found,) = caught.value.diagnostics
    assert found.code == "ND0721"
    assert found.span is not None


def test_images_are_rows_whatever_their_sizes() -> None:
    """5 images of 7 channels begin as 5 steps of 7 streams do, and cannot be cut along their channels."""
    text = """
    layer { name: "steps" type: "DummyData" top: "x" top: "cont"
      dummy_data_param { shape { dim: 5 dim: 7 dim: 2 } shape { dim: 5 dim: 7 } } }
    layer { name: "images" type: "MemoryData" top: "image" top: "label"
      memory_data_param { batch_size: 5 channels: 7 height: 4 width: 4 } }
    layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "y" recurrent_param { num_output: 3 } }
    """
    with pytest.raises(NetdefError) as caught:
        Divisible.of(load(Source("net.prototxt", text), Options(phase="TRAIN")))
    told = [(found.code, found.message.rpartition(": ")[2][:18]) for found in caught.value.diagnostics]
    assert told == [("ND0721", '"image" (5x7x4x4) '), ("ND0721", '"label" (5) begins')]


def test_a_weighted_blob_of_a_source_is_a_sum_over_its_rows() -> None:
    text = """
    layer { name: "data" type: "DummyData" top: "x" loss_weight: 0.5 dummy_data_param { shape { dim: 6 dim: 2 } } }
    layer { name: "own" type: "Parameter" top: "p" loss_weight: 2 parameter_param { shape { dim: 6 } } }
    """
    whole = load(Source("net.prototxt", text), Options(phase="TRAIN"))
    part = Divisible.of(whole).rebatched(lambda rows: rows // 3)
    assert [(term.blob, term.weight, term.share) for term in terms(part, whole)] == [("x", 0.5, 1.0), ("p", 2.0, None)]
