"""A small run with everything random: shuffled data, dropout, BatchNorm, a test net. Shared by the tests here."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

NET = """
name: "small"
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label" include {{ phase: TRAIN }}
  hdf5_data_param {{ source: "{folder}/list.txt" batch_size: 7 shuffle: true }} }}
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label" include {{ phase: TEST }}
  hdf5_data_param {{ source: "{folder}/list.txt" batch_size: 9 }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "drop" type: "Dropout" bottom: "conv" top: "conv" dropout_param {{ dropout_ratio: 0.3 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""

SOLVER = """
net: "{folder}/net.prototxt" type: "Adam" base_lr: 0.02 lr_policy: "multistep" gamma: 0.5 stepvalue: 6 stepvalue: 14
momentum: 0.9 weight_decay: 0.001 max_iter: 20 iter_size: 2 snapshot: 5 snapshot_prefix: "{folder}/out/snap"
test_iter: 2 test_interval: 6 average_loss: 4 random_seed: 3 solver_mode: CPU
"""


def make(folder: Path, more: str = "", *, net: str = NET, solver: str = SOLVER, rows: int = 25) -> Path:
    """Write data, net and solver into `folder`; returns the solver."""
    rng = np.random.default_rng(0)
    with h5py.File(folder / "data.h5", "w") as file:
        file["data"] = rng.standard_normal((rows, 2, 6, 6)).astype(np.float32)
        file["label"] = rng.integers(0, 3, rows).astype(np.float32)
    (folder / "list.txt").write_text(f"{folder}/data.h5\n")
    (folder / "net.prototxt").write_text(net.format(folder=folder))
    (folder / "solver.prototxt").write_text(solver.format(folder=folder) + more)
    return folder / "solver.prototxt"
