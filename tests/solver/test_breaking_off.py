"""What is left of a run that breaks off: in a test, at bad data, out of memory, while a snapshot is overwritten?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import torch

from netdef.diagnostics import NetdefError
from netdef.solver import events as ev
from netdef.solver import snapshot
from netdef.solver.loop import Solver
from netdef.solver.nets import read_config
from netdef.targets.torch import tensors
from netdef.weights import LayerWeights, read_run_state, read_solverstate, read_weights
from tests.data.build import datum
from tests.solver import small_run

NET = """
name: "records"
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "db" batch_size: 4 backend: LMDB } }
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" }
layer { name: "drop" type: "Dropout" bottom: "bn" top: "drop" }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" type: "SGD" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" max_iter: 8 random_seed: 2
snapshot: 100 snapshot_prefix: "out/s" solver_mode: CPU
"""


def weights(solver: Solver) -> list[np.ndarray[Any, Any]]:
    held = tensors(solver.net, solver.run.train.graph)
    return [tensor.detach().numpy().copy() for tensor in held.values()]


def records() -> list[bytes]:
    rng = np.random.default_rng(0)
    return [datum(rng.integers(0, 256, (2, 3, 3)).astype(np.uint8), i % 3) for i in range(40)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)
    _put(records())
    return tmp_path


def _put(values: list[bytes]) -> None:
    with lmdb.open("db", map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for index, value in enumerate(values):
            transaction.put(b"%08d" % index, value)


def failing() -> NetdefError:
    with Solver("solver.prototxt") as solver, pytest.raises(NetdefError) as failure:
        solver.solve()
    return failure.value


def test_a_corrupt_record_ends_the_run_with_what_was_learned(folder: Path) -> None:
    """Once the record is mended, going on gives the run that never met it, to the last bit."""
    with Solver("solver.prototxt") as solver:
        solver.solve()
        whole = weights(solver)
    shutil.rmtree("out")
    _put([*records()[:21], b"junk", *records()[22:]])  # in the sixth batch
    found = failing()
    assert (found.exit_code, found.diagnostics[0].code) == (1, "ND0510")
    assert '"00000021"' in found.diagnostics[0].message
    assert found.diagnostics[0].span is not None
    assert found.diagnostics[0].span.text == '"db"'
    assert "--snapshot out/s_iter_5.solverstate` goes on at iteration 5" in found.diagnostics[0].help[-1]
    _put(records())
    with Solver("solver.prototxt") as solver:
        solver.restore("out/s_iter_5.solverstate")
        solver.solve()
        assert all(np.array_equal(a, b) for a, b in zip(whole, weights(solver), strict=True))


def test_nothing_is_written_where_nothing_was_learned(folder: Path) -> None:
    _put([b"\xff junk", *records()[1:]])
    with pytest.raises(NetdefError):  # at once: the sizes of a blob are those of the first record
        Solver("solver.prototxt")
    _put([records()[0], b"\xff junk", *records()[2:]])
    assert len(failing().diagnostics[0].help) == 0
    assert list(Path("out").iterdir()) == []


def test_a_snapshot_that_is_there_is_not_written_again(folder: Path) -> None:
    Path("solver.prototxt").write_text(SOLVER.replace("snapshot: 100", "snapshot: 5"))
    _put([*records()[:21], b"junk"])
    events: list[ev.Event] = []
    with Solver("solver.prototxt", observers=[events.append]) as solver, pytest.raises(NetdefError) as failure:
        solver.solve()
    assert "out/s_iter_5.solverstate" in failure.value.diagnostics[0].help[-1]
    assert [e.iteration for e in events if isinstance(e, ev.Snapshotted)] == [5]


def test_no_memory_in_the_middle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Solver("solver.prototxt") as solver:
        call = solver.run.train._call

        def fails_later(**batch: Any) -> Any:
            if solver.iter == 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return call(**batch)

        monkeypatch.setattr(solver.run.train, "_call", fails_later)
        with pytest.raises(NetdefError) as failure:
            solver.solve()
    assert failure.value.diagnostics[0].code == "ND0806"
    assert failure.value.exit_code == 3
    assert "out/s_iter_3.solverstate" in failure.value.diagnostics[0].help[-1]


@pytest.mark.parametrize(
    "fault",
    [
        MemoryError("Unable to allocate 3.00 GiB for an array"),  # numpy's, as data are read
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: …"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: …"),  # Windows
    ],
    ids=["numpy", "linux", "windows"],
)
def test_no_memory_on_the_processor(folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    with Solver("solver.prototxt") as solver:
        solver.step(2)

        def fails() -> Any:
            raise fault

        monkeypatch.setattr(solver.run.train.feed, "next", fails)
        with pytest.raises(NetdefError) as failure:
            solver.solve()
    (found,) = failure.value.diagnostics
    assert (found.code, failure.value.exit_code) == ("ND0806", 3)
    assert "out/s_iter_2.solverstate" in found.help[-1]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="how much a process has taken is looked up in /proc")
def test_a_processor_without_memory_says_it_so(folder: Path) -> None:
    """What torch really raises: the layer is named, and torch.fx does not print its code."""
    Path("net.prototxt").write_text(
        """
        layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
          shape { dim: 64 dim: 3 dim: 128 dim: 128 } shape { dim: 64 } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
          convolution_param { num_output: 64 kernel_size: 1 } }
        layer { name: "twice" type: "Eltwise" bottom: "conv" bottom: "conv" top: "twice" }
        layer { name: "loss" type: "Reduction" bottom: "twice" top: "loss" loss_weight: 1 }
        """
    )
    code = """
import resource
from netdef.diagnostics import NetdefError
from netdef.solver.loop import Solver
with Solver("solver.prototxt") as solver:
    taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 400_000_000,) * 2)  # a blob has 268 million bytes
    try:
        solver.step(1)
    except NetdefError as failure:
        print(failure.diagnostics[0].code, failure.diagnostics[0].message)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ('ND0806 out of memory on cpu in layer "twice"\n', "")


def test_no_snapshot_in_the_middle_of_an_update(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some weights have been changed then, some have not."""
    with Solver("solver.prototxt") as solver:

        def fails(*args: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        solver.step(2)
        monkeypatch.setattr(solver.optimizer, "step", fails)
        with pytest.raises(NetdefError):
            solver.solve()
    assert not list(Path("out").glob("*.solverstate"))


@pytest.mark.parametrize("at", [0, 1], ids=["first_net", "second_net"])
def test_a_stop_breaks_a_test_off(tmp_path: Path, at: int) -> None:
    """Who goes on makes the test from its beginning, with the rows that it would have had."""
    text = small_run.SOLVER.replace("test_iter: 2", "test_iter: 2 test_iter: 3").replace("snapshot: 5", "snapshot: 0")
    config, _ = read_config(str(small_run.make(tmp_path, solver=text)))
    whole = run(config)
    events: list[ev.Event] = []
    with Solver(config, observers=[events.append]) as solver:
        asked = lambda event: isinstance(event, ev.Testing) and (event.iteration, event.net) == (12, at)  # noqa: E731
        solver.observers.append(lambda event: solver.request("stop") if asked(event) else None)
        solver.solve()
        assert (solver.stopped, solver.iter) == (True, 12)
    tested = [(e.iteration, e.net) for e in events if isinstance(e, ev.Tested)]
    assert tested[-1] == ((6, 1) if at == 0 else (12, 0))
    assert run(config, tmp_path / "out" / "snap_iter_12.solverstate") == [line for line in whole if line[0] >= 12]


def run(config: Any, state: Path | None = None) -> list[tuple[int, int, list[float]]]:
    """The tests of a run: iteration, net, and every number."""
    events: list[ev.Event] = []
    with Solver(config, observers=[events.append]) as solver:
        if state is not None:
            solver.restore(state)
        solver.solve()
    tested = [e for e in events if isinstance(e, ev.Tested)]
    return [(e.iteration, e.net, [x for o in e.outputs for x in o.values.ravel().tolist()]) for e in tested]


# A snapshot over one of the same iteration, which an earlier run has left.


def content(value: int, averages: bool = False) -> snapshot.Content:
    """A snapshot whose every part holds `value`."""
    numbers = np.full(3, value, np.float32)
    layers = [LayerWeights("ip", "InnerProduct", [numbers])]
    lent = nullcontext(layers) if averages else None
    return snapshot.Content("net", layers, 5, 0, (numbers,), {"cpu": numbers}, {"iteration": 5}, lent)


def held(place: snapshot.Place) -> set[int]:
    """What the parts of a snapshot hold."""
    parts = [read_solverstate(place.state).history[0], read_weights(place.weights)["ip"][0]]
    parts += [read_run_state(place.run)[0]["cpu"]] if place.run.exists() else []
    parts += [read_weights(place.averages)["ip"][0]] if place.averages.exists() else []
    return {int(part[0]) for part in parts}


def killed(step: int, work: Callable[[], None]) -> bool:
    """Do the work in a fork that ends without a word before its `step`-th renaming or deletion; whether it did."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == step:
                    os._exit(9)
                return call(*args, **kwargs)

            return wrapped

        os.rename, os.replace, os.unlink = counted(os.rename), counted(os.replace), counted(os.unlink)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("formats", [("BINARYPROTO",) * 2, ("HDF5", "BINARYPROTO")], ids=["same", "other_format"])
@pytest.mark.parametrize("averages", [(True, False), (False, True)], ids=["old_averages", "new_averages"])
def test_files_of_two_runs_are_never_taken_for_one(
    tmp_path: Path, formats: tuple[snapshot.Format, ...], averages: tuple[bool, bool]
) -> None:
    old, new = (snapshot.Place.of(str(tmp_path / "s"), 5, format) for format in formats)
    step, seen = 0, set()
    while True:
        step += 1
        snapshot.write(old, content(1, averages[0]))
        if not killed(step, lambda: snapshot.write(new, content(2, averages[1]))):
            break
        found = [held(place) for _, place in snapshot.existing(str(tmp_path / "s"))]
        assert found in ([{1}], [], [{2}]), f"killed at {step}"
        seen.add(str(found))
    assert seen >= {"[{1}]", "[]"}
    assert [held(place) for _, place in snapshot.existing(str(tmp_path / "s"))] == [{2}]


def test_a_stop_in_the_last_test_leaves_a_snapshot_whatever_the_solver_says(tmp_path: Path) -> None:
    """`snapshot_after_train: false` is for runs that end by themselves; who stops one is told how to go on."""

    def stop(event: ev.Event) -> None:
        if isinstance(event, ev.Testing) and event.iteration == 4:
            solver.request("stop")

    text = small_run.SOLVER.replace("max_iter: 20", "max_iter: 4").replace("test_interval: 6", "test_interval: 4")
    path = small_run.make(tmp_path, "snapshot_after_train: false", solver=text)
    for observers, left in ([], []), ([stop], [4]):
        with Solver(path, observers=observers) as solver:
            solver.solve()
        assert [iteration for iteration, _ in snapshot.existing(str(tmp_path / "out/snap"))] == left


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    """Its staged and temporary files, and nothing else."""
    left = [".snap_iter_5.caffemodel.new", "..snap_iter_5.runstate.new.x1y2.tmp", ".snap_best.caffemodel.ab_c.tmp"]
    kept = [".snap2_iter_5.caffemodel.new", "snap_iter_5.caffemodel", ".other.tmp", "snap_iter_5.new"]
    for name in (*left, *kept):
        (tmp_path / name).touch()
    snapshot.clear(str(tmp_path / "snap"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_run_clears_before_it_begins(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".snap_iter_3.solverstate.new").touch()
    with Solver(path) as solver:
        solver.request("stop")
        solver.solve()
    assert not list((tmp_path / "out").glob(".*"))
