"""Do batches of other sizes than the first train the same parameters, as Caffe's nets that reshape themselves do?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netdef.diagnostics import NetdefError
from netdef.solver.loop import Solver
from netdef.targets.torch import tensors
from tests.data.build import datum, make_lmdb

NET = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{db}" batch_size: 1 backend: LMDB }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param {{ kernel_size: 3 stride: 2 }} }}
{head}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
CONVOLUTIONAL = """
layer { name: "all" type: "Pooling" bottom: "pool" top: "all" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "all" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
FIXED = """
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 3 } }
"""
SOLVER = (
    'net: "{net}" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" max_iter: 9 random_seed: 5 solver_mode: CPU {more}'
)

SIZES = [(8, 8), (9, 13), (8, 8), (9, 13), (12, 6)]
RECORDS = [
    datum(np.random.default_rng(i).integers(0, 9, (2, *size)).astype(np.uint8), i % 3) for i, size in enumerate(SIZES)
]


def solver(folder: Path, records: list[bytes], head: str = CONVOLUTIONAL, more: str = "") -> Solver:
    folder.mkdir()
    db = make_lmdb(folder / "db", records)
    (folder / "net.prototxt").write_text(NET.format(db=db, head=head))
    (folder / "solver.prototxt").write_text(SOLVER.format(net=folder / "net.prototxt", more=more))
    return Solver(folder / "solver.prototxt")


def step(one: Solver) -> tuple[float, list[np.ndarray[Any, Any]]]:
    """The loss of an iteration, and every parameter and statistic after it."""
    one.step(1)
    held = tensors(one.net, one.run.train.graph).values()
    return one.run.losses.recent[-1], [tensor.detach().numpy().copy() for tensor in held]


def test_each_size_is_computed_like_a_net_of_its_own(tmp_path: Path) -> None:
    """A net for one record alone goes on from what the others have learned: parameters, statistics and momentum."""
    alone = [solver(tmp_path / str(i), [record]) for i, record in enumerate(RECORDS)]
    mixed = solver(tmp_path / "mixed", RECORDS)
    for number, one in enumerate(alone):
        for mine, theirs in zip(tensors(one.net, one.run.train.graph).values(), _held(mixed), strict=True):
            mine.data.copy_(theirs)
        one.optimizer.load_history(mixed.optimizer.history())
        expected, found = step(one), step(mixed)
        assert found[0] == pytest.approx(expected[0], rel=1e-6), f"record {number}"
        for a, b in zip(found[1], expected[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for one in (*alone, mixed):
        one.close()


def _held(one: Solver) -> list[Any]:
    return [tensor.detach() for tensor in tensors(one.net, one.run.train.graph).values()]


@pytest.mark.parametrize("more", ["", "debug_info: true display: 1", "activation_checkpoint: true"])
def test_in_every_way_of_computing(tmp_path: Path, more: str) -> None:
    with solver(tmp_path / "run", RECORDS, more=more) as one:
        one.step(7)
        assert np.isfinite(one.loss)


def test_parameters_that_follow_from_the_size_cannot(tmp_path: Path) -> None:
    with solver(tmp_path / "run", RECORDS, FIXED) as one, pytest.raises(NetdefError) as failure:
        one.step(2)
    (fault,) = failure.value.diagnostics
    assert fault.code == "ND0511"
    assert (
        'layer "data": a batch is 1x2x9x13, and the net was built for 1x2x8x8: "ip": its weight is 3x36'
        in fault.message
    )
    assert fault.span is not None
    assert fault.span.text == f'"{tmp_path}/run/db"'
