"""Does a net whose step is recorded and replayed learn what it would without?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from netdef.cli.check import command
from netdef.diagnostics import NetdefError
from netdef.graph import Options, load
from netdef.nn import LSTM
from netdef.solver.loop import Solver
from netdef.solver.nets import read_config
from netdef.solver.recorded import WARM_UPS, RecordedNet, Result, check
from netdef.solver.replayed import ReplayedNet
from netdef.solver.style import Style
from netdef.solver.team import ALONE, Team
from tests.solver import small_run

RECURRENT = """
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param {{ source: "{folder}/list.txt" batch_size: 4 }} }}
layer {{ name: "cont" type: "DummyData" top: "cont" dummy_data_param {{ shape {{ dim: 4 dim: 2 }}
  data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "lstm" type: "LSTM" bottom: "data" bottom: "cont" top: "h"
  recurrent_param {{ num_output: 5 weight_filler {{ type: "uniform" min: -1 max: 1 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "h" top: "ip"
  inner_product_param {{ num_output: 3 axis: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" softmax_param {{ axis: 2 }} }}
"""


def again(step: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
    """A recorder for the processor: to replay is to compute again, into the tensors of the first time."""
    for _ in range(WARM_UPS):
        step()
    result = step()

    def replay() -> None:
        for old, new in zip(result.tensors(), step().tensors(), strict=True):
            old.copy_(new)

    return result, replay


def weights(solver: Solver) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in solver.net.state_dict().items()}


def run(path: Path, recorded: bool, count: int = 7, **changes: Any) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses, weights and statistics after some iterations, with a snapshot and a resume in the midst of them."""
    config = replace(read_config(str(path))[0], average_loss=100, test_interval=0, **changes)
    with Solver(config) as solver:
        if recorded:
            train = solver.run.train
            sums = config.iter_size > 1
            solver.run.train = RecordedNet(train.graph, train.module, train.feed, train.style, sums=sums, record=again)
        solver.step(3)
        state = solver.snapshot().state
        solver.step(2)
        solver.restore(state)
        solver.step(count - 3)
        return list(solver.run.losses.recent), weights(solver)


@pytest.mark.parametrize("iter_size", [1, 2])
@pytest.mark.parametrize("net", [small_run.NET, RECURRENT], ids=["small", "recurrent"])
def test_replaying_changes_nothing(tmp_path: Path, iter_size: int, net: str) -> None:
    """With dropout, BatchNorm's statistics, or an LSTM's state: to the last bit."""
    solver = small_run.SOLVER
    if net is RECURRENT:
        solver = solver.replace("test_iter: 2 test_interval: 6", "")
    path = small_run.make(tmp_path, net=net, solver=solver)
    if net is RECURRENT:
        sequences(tmp_path)
    plain, recorded = (run(path, how, iter_size=iter_size) for how in (False, True))
    assert recorded[0] == plain[0]
    assert all(torch.equal(recorded[1][name], value) for name, value in plain[1].items())


def where_the_next_is_written(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same results, the loss in memory that the next call writes over, as CUDA graphs of torch.compile have it."""
    place = torch.zeros(())

    def compute(**batch: torch.Tensor) -> Any:
        outputs, loss = call(**batch)
        held = loss + 0
        held.data = place.copy_(loss.detach())
        return outputs, held

    return compute


@pytest.mark.parametrize("iter_size", [1, 2])
def test_what_torch_replays_is_kept(tmp_path: Path, iter_size: int) -> None:
    """The losses of a plain run, though they are read at its end; gradients of several batches stay where they are."""
    config = replace(read_config(str(small_run.make(tmp_path)))[0], iter_size=iter_size, test_interval=0, snapshot=0)
    traces = []
    for replayed in (False, True):
        with Solver(config) as solver, solver.run.random.active():
            train = solver.run.train
            if replayed:
                net = ReplayedNet(train.graph, train.module, train.feed, train.style, sums=iter_size > 1)
                net._call = where_the_next_is_written(net._call)
                solver.run.train = net
            losses = [solver._forward_backward()]
            places = [p.grad.data_ptr() for p in solver.net.parameters()]
            for _ in range(3):
                solver.optimizer.step()
                solver.optimizer.zero_grad()
                losses.append(solver._forward_backward())
            again = [p.grad.data_ptr() for p in solver.net.parameters()]
            assert not replayed or iter_size == 1 or places == again
            traces.append([float(loss) for loss in losses])
    assert traces[0] == traces[1]


@pytest.mark.parametrize(("filler", "known"), [('type: "constant" value: 1', True), ('type: "uniform"', False)])
def test_flags_are_known_before_they_travel(tmp_path: Path, filler: str, known: bool) -> None:
    net = RECURRENT.replace('type: "constant" value: 1', filler)
    solver = small_run.SOLVER.replace("test_iter: 2 test_interval: 6", "")
    path = small_run.make(tmp_path, net=net, solver=solver)
    sequences(tmp_path)
    with Solver(path) as running:
        train = running.run.train
        train.forward()
        assert train.module.get_submodule("lstm").unbroken is (train.batch["cont"] if known else None)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "rel"), [("FP32", 1e-3), ("BF16", 0.05)])
def test_a_gpu_takes_all_steps_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, rel: float
) -> None:
    """The losses of the processor, without a walk from step to step, and without a warning of cuDNN's."""
    solver = small_run.SOLVER.replace("test_iter: 2 test_interval: 6", "") + f" precision: {precision}"
    path = small_run.make(tmp_path, net=RECURRENT, solver=solver)
    sequences(tmp_path)
    traces = []
    for device in ("cpu", 0):
        with Solver(replace(read_config(str(path))[0], average_loss=100), device=device) as solver:
            monkeypatch.setattr(LSTM, "_walk", None)
            solver.step(5)
            traces.append(list(solver.run.losses.recent))
    assert traces[1] == pytest.approx(traces[0], rel=rel)


def sequences(folder: Path) -> None:
    """Data for RECURRENT: 4 steps of 2 sequences a batch."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    with h5py.File(folder / "data.h5", "w") as file:
        file["data"] = rng.standard_normal((12, 2, 6)).astype(np.float32)
        file["label"] = rng.integers(0, 3, (12, 2)).astype(np.float32)


def test_where_nets_are_recorded() -> None:
    gpu_style = Style(torch.device("cuda"), cuda_graphs=True)
    assert gpu_style.recorded
    assert not replace(gpu_style, compile=True).recorded
    assert replace(gpu_style, compile=True).replayed
    assert not replace(gpu_style, compile=True, device=torch.device("cpu")).replayed
    assert not replace(gpu_style, device=torch.device("cpu")).recorded


def test_what_cannot_be_recorded(tmp_path: Path) -> None:
    output = """layer {{ name: "out" type: "HDF5Output" bottom: "ip" bottom: "label"
      hdf5_output_param {{ file_name: "{folder}/o.h5" }} }}"""
    small_run.make(tmp_path, net=small_run.NET + output)
    with pytest.raises(NetdefError) as failure:
        check(load(str(tmp_path / "net.prototxt"), Options(phase="TRAIN")), Team(0, 2))
    messages = [(d.code, d.message) for d in failure.value.diagnostics]
    assert messages == [
        ("ND0713", '`cuda_graphs`: HDF5Output "out" cannot be recorded: it writes to the disk'),
        ("ND0713", "`cuda_graphs` without `compile` records a single process"),
    ]
    solver = small_run.SOLVER.replace("CPU", "GPU") + " cuda_graphs: true"
    path = small_run.make(tmp_path, net=small_run.NET + output, solver=solver)
    checked = CliRunner().invoke(command, [str(path)], catch_exceptions=False)
    assert checked.exit_code == 1
    assert f"error[ND0713]: {messages[0][1]}" in checked.output
    small_run.make(tmp_path)
    check(load(str(tmp_path / "net.prototxt"), Options(phase="TRAIN")), ALONE)


@pytest.mark.gpu
@pytest.mark.parametrize("iter_size", [1, 2])
def test_a_gpu_replays(tmp_path: Path, iter_size: int) -> None:
    """The losses of an eager run on the same GPU, without dropout, whose numbers a recording draws otherwise."""
    path = small_run.make(tmp_path, net=small_run.NET.replace("dropout_ratio: 0.3", "dropout_ratio: 0"))
    config = replace(read_config(str(path))[0], average_loss=100, iter_size=iter_size, gpu=0)
    traces = []
    for cuda_graphs in (False, True):
        with Solver(replace(config, cuda_graphs=cuda_graphs), device=0) as solver:
            assert isinstance(solver.run.train, RecordedNet) == cuda_graphs
            solver.step(20)
            traces.append(list(solver.run.losses.recent))
    assert traces[1] == pytest.approx(traces[0], rel=1e-4)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("iter_size", [1, 2])
def test_a_gpu_replays_what_is_compiled(tmp_path: Path, iter_size: int) -> None:
    """The losses of an eager run on the same GPU, read at the end alone."""
    path = small_run.make(tmp_path, net=small_run.NET.replace("dropout_ratio: 0.3", "dropout_ratio: 0"))
    config = replace(read_config(str(path))[0], average_loss=100, iter_size=iter_size, gpu=0)
    traces = []
    for compiled in (False, True):
        with Solver(replace(config, compile=compiled, cuda_graphs=compiled), device=0) as solver:
            assert isinstance(solver.run.train, ReplayedNet) == compiled
            solver.step(20)
            traces.append(list(solver.run.losses.recent))
    assert traces[1] == pytest.approx(traces[0], rel=1e-3)


@pytest.mark.gpu
def test_a_gpu_draws_anew_for_each_replay(tmp_path: Path) -> None:
    """The same batch, weights that stay: with dropout the losses differ all the same."""
    path = small_run.make(tmp_path, rows=7)
    config = replace(read_config(str(path))[0], average_loss=100, iter_size=1, gpu=0, cuda_graphs=True)
    config = replace(config, policy=replace(config.policy, base_lr=0.0))
    with Solver(config, device=0) as solver:
        solver.step(5)
        assert len(set(solver.run.losses.recent)) == 5


@pytest.mark.gpu
@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("more", ["", "clip_gradients: 1 ema_decay: 0.9", "precision: BF16"])
def test_the_loop_never_waits_for_a_gpu(tmp_path: Path, more: str, cuda_graphs: bool) -> None:
    path = small_run.make(tmp_path, more + f" cuda_graphs: {str(cuda_graphs).lower()}")
    with Solver(path, device=0) as solver, solver.run.random.active():
        for _ in range(3):
            solver._iterate()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                solver._iterate()
                solver.team.any(False)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_a_batch_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Solver(small_run.make(tmp_path)) as solver:
        train = solver.run.train
        net = RecordedNet(train.graph, train.module, train.feed, train.style, sums=True, record=again)
        net.learn(solver.run.scale)
        larger = {"data": torch.zeros(7, 2, 6, 9), "label": torch.zeros(7)}
        monkeypatch.setattr(net.feed, "next", lambda: larger)
        with pytest.raises(NetdefError, match="a batch is 7x2x6x9, and 7x2x6x6 was recorded") as failure:
            net.learn(solver.run.scale)
    assert failure.value.diagnostics[0].code == "ND0713"
