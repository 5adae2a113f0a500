"""Does the solver's public face do what it says?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import netdef
from netdef.diagnostics import NetdefError, RunError
from netdef.ir.memory import training_bytes
from netdef.solver import events as ev
from netdef.solver.loop import Solver
from netdef.solver.memory import _capacity, check_room, fitting_rows
from netdef.solver.nets import read_config
from netdef.targets.torch import tensors
from tests.solver import small_run


def losses(path: Path, count: int, **changes: Any) -> list[float]:
    with Solver(replace(read_config(str(path))[0], **changes)) as solver:
        found = []
        for _ in range(count):
            solver.step(1)
            found.append(solver.run.losses.recent[-1])
        return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return small_run.make(tmp_path)


def test_face(path: Path) -> None:
    assert netdef.Solver is Solver
    with Solver(path) as solver:
        assert (solver.iter, solver.lr) == (0, np.float32(0.02))
        solver.step(7)
        assert solver.iter == 7
        assert solver.lr == np.float32(0.01)
        (score,) = solver.test_all()
        assert {output.name for output in score.outputs} == {"accuracy", "loss"}
        weight, shared = solver.net.conv.weight, solver.test_nets[0].conv.weight
        assert weight is shared


def test_a_test_net_may_only_measure(path: Path, tmp_path: Path) -> None:
    """As many do: the loss stands in the training net alone."""
    net = small_run.NET.replace('top: "loss" }}', 'top: "loss" include {{ phase: TRAIN }} }}')
    with Solver(small_run.make(tmp_path, "test_compute_loss: true", net=net)) as solver:
        (score,) = solver.test_all()
    assert ([output.name for output in score.outputs], score.loss) == (["accuracy"], 0)


def test_the_same_seed_gives_the_same_run(path: Path) -> None:
    first = losses(path, 4)
    torch.manual_seed(99)
    assert losses(path, 4) == first
    assert losses(path, 4, seed=4) != first


def test_the_run_leaves_torchs_generator_alone(path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    losses(path, 2)
    assert torch.equal(torch.rand(3), expected)


def test_memory_format_changes_rounding_alone(tmp_path: Path) -> None:
    """But for dropout, whose mask is drawn in the order of memory."""
    path = small_run.make(tmp_path, net=small_run.NET.replace("dropout_ratio: 0.3", "dropout_ratio: 0"))
    assert losses(path, 6, channels_last=False) == pytest.approx(losses(path, 6), rel=1e-4)


def test_bfloat16_stays_near(path: Path) -> None:
    assert losses(path, 3, precision="BF16") == pytest.approx(losses(path, 3), rel=0.05)


def test_precision_that_is_not_there(path: Path) -> None:
    with pytest.raises(NetdefError) as failure:
        losses(path, 1, precision="TF32")
    assert failure.value.diagnostics[0].code == "ND0713"


def test_iter_size_is_a_larger_batch(tmp_path: Path) -> None:
    """Two batches of 6 in one update equal one batch of 12, without what looks at a batch as a whole."""
    net = small_run.NET.replace("shuffle: true", "shuffle: false")
    net = "\n".join(line for line in net.splitlines() if '"BatchNorm"' not in line and '"Dropout"' not in line)
    net = net.replace("dropout_param {{ dropout_ratio: 0.3 }} }}", "")
    found = []
    for batch, size in ((6, 2), (12, 1)):
        folder = tmp_path / str(batch)
        folder.mkdir()
        text = small_run.SOLVER.replace("iter_size: 2", f"iter_size: {size} clip_gradients: {0.1 * size}")
        solver_file = small_run.make(
            folder, net=net.replace("batch_size: 7", f"batch_size: {batch}"), solver=text, rows=24
        )
        with Solver(solver_file) as solver:
            solver.step(5)
            found.append([t.detach().clone() for t in tensors(solver.net, solver.run.train.graph).values()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_requests(path: Path) -> None:
    events: list[ev.Event] = []
    with Solver(path, observers=[events.append]) as solver:
        solver.observers.append(lambda e: solver.request("stop") if isinstance(e, ev.Snapshotted) else None)
        solver.solve()
        assert solver.stopped
        assert solver.iter == 6
    assert [e.iteration for e in events if isinstance(e, ev.Snapshotted)] == [5, 6]


@pytest.mark.parametrize(("interval", "layer"), [(6, "accuracy"), (0, "loss")], ids=["test", "train"])
def test_labels_out_of_range(tmp_path: Path, interval: int, layer: str) -> None:
    """Told at the layer of the net, of training or of testing, that met the label."""
    path = small_run.make(tmp_path, net=small_run.NET.replace("num_output: 3", "num_output: 2"))
    with pytest.raises(NetdefError) as failure:
        losses(path, 3, test_interval=interval)
    (fault,) = failure.value.diagnostics
    assert fault.code == "ND0512"
    assert fault.message.startswith(f'layer "{layer}": label 2 (at position ')
    assert fault.span is not None
    assert fault.span.text == '"label"'


def test_out_of_memory_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Solver(path) as solver:
        monkeypatch.setattr(solver.run.train, "forward", _no_memory)
        with pytest.raises(NetdefError) as failure:
            solver.step(1)
    (fault,) = failure.value.diagnostics
    assert (fault.code, failure.value.exit_code) == ("ND0806", 3)
    assert "`batch_size: 3` in place of 7" in fault.help[0]
    assert "`iter_size` times 3" in fault.help[0]


def test_out_of_memory_names_the_layer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Solver(path) as solver:
        monkeypatch.setattr(solver.net.ip, "forward", lambda x: _no_memory())
        with pytest.raises(NetdefError) as failure:
            solver.step(1)
    assert failure.value.diagnostics[0].message == 'out of memory on cpu in layer "ip"'


def no_handle(*_: object) -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def no_recording(*_: object) -> None:
    try:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    finally:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


@pytest.mark.parametrize("fail", [no_handle, no_recording])
def test_what_else_lack_of_memory_is_called(
    fail: Callable[..., None], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Solver(path) as solver:
        monkeypatch.setattr(solver.run.train, "forward", fail)
        with pytest.raises(NetdefError) as failure:
            solver.step(1)
    assert failure.value.diagnostics[0].code == "ND0806"


def test_a_gpu_that_met_a_bad_label(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing else, some batches later, and can do nothing any more."""

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronous")

    with Solver(path) as solver:
        solver.step(1)
        monkeypatch.setattr(solver.run.train, "forward", fail)
        monkeypatch.setattr(solver, "_snapshot_here", fail)
        with pytest.raises(NetdefError) as failure:
            solver.solve()
    (fault,) = failure.value.diagnostics
    assert (fault.code, fault.message) == ("ND0512", 'the net "small" met a label or an index out of range')
    assert fault.help[1].endswith("could be taken: CUDA error: device-side assert triggered")


def test_room_on_a_gpu_is_what_others_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 80))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20)
    assert _capacity(torch.device("cuda", 0)) == 23
    assert _capacity(torch.device("cpu")) is None


@pytest.mark.parametrize(("share", "rows"), [(2.0, 32), (0.6, 32), (0.3, 8), (0.15, 4), (0.01, 1)])
def test_a_batch_that_fits(tmp_path: Path, share: float, rows: int) -> None:
    """Predicted for 64 rows: 123,096 bytes, 3,360 of them for 280 parameters, gradients and history.

    So 16 rows need 3,360 + 119,736 / 4 = 33,294 bytes, and 0.9 of 0.3 of 123,096 is 33,236: 8 rows fit.
    """
    text = small_run.NET.replace("batch_size: 7", "batch_size: 64")
    with Solver(small_run.make(tmp_path, net=text)) as solver:
        graph = solver.run.train.graph
    whole = training_bytes(graph)
    assert whole is not None
    assert fitting_rows(graph, 64, int(share * whole)) == rows


def test_a_layer_that_cannot_be_held(tmp_path: Path) -> None:
    """Refused before memory is taken: 280 parameters, and of 7 rows conv's 2x6x6 and 4x4x4 values."""
    with Solver(small_run.make(tmp_path)) as solver:
        graph = solver.run.train.graph
    conv, ip = 4 * 2 * 3 * 3 + 4, 3 * 64 + 3
    least = 4 * (conv + ip + 2 * 4 + 1 + 7 * (2 * 6 * 6 + 4 * 4 * 4))
    check_room(graph, torch.device("cpu"), least)
    with pytest.raises(RunError) as failure:
        check_room(graph, torch.device("cpu"), least - 1)
    (fault,) = failure.value.diagnostics
    assert fault.code == "ND0806"
    assert f"at least {least:,} bytes" in fault.message
    assert "in place of 7 should fit" in fault.help[0]


def _no_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def test_a_net_in_the_solver_itself(tmp_path: Path) -> None:
    net = small_run.NET.replace("\n", " ").replace('name: "small"', "", 1)
    text = small_run.SOLVER.replace('net: "{folder}/net.prototxt"', f"net_param {{{{ {net} }}}}")
    assert len(losses(small_run.make(tmp_path, solver=text), 2)) == 2
