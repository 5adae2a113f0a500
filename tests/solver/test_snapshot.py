"""Are snapshots whole or not there, pruned, and refused where they belong to another run?"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from netdef.diagnostics import NetdefError, RunError, Severity
from netdef.solver import events as ev
from netdef.solver.loop import Solver
from netdef.solver.nets import read_config
from netdef.solver.snapshot import Place, existing, prune
from netdef.targets.torch import tensors
from tests.solver import small_run

PLAIN = small_run.SOLVER.replace("snapshot: 5", "snapshot: 4").replace("max_iter: 20", "max_iter: 8")


def params(solver: Solver) -> list[torch.Tensor]:
    return [t.detach().clone() for t in tensors(solver.net, solver.run.train.graph).values()]


def run(path: Path, **changes: Any) -> list[ev.Event]:
    events: list[ev.Event] = []
    with Solver(replace(read_config(str(path))[0], **changes), observers=[events.append]) as solver:
        solver.solve()
    return events


@pytest.mark.parametrize("format", ["BINARYPROTO", "HDF5"])
def test_resumed_equals_uninterrupted(tmp_path: Path, format: str) -> None:
    config, _ = read_config(str(small_run.make(tmp_path)))
    config = replace(config, snapshot_format=format, snapshot=0)
    with Solver(config) as solver:
        solver.step(7)
        place = solver.snapshot()
        solver.step(9)
        whole = params(solver), solver.loss, solver.run.random.arrays()["cpu"].tolist()
    with Solver(config) as solver:
        torch.rand(5)  # what the process draws elsewhere is not the run's concern
        solver.restore(place.state)
        solver.step(9)
        again = params(solver), solver.loss, solver.run.random.arrays()["cpu"].tolist()
    assert all(torch.equal(a, b) for a, b in zip(whole[0], again[0], strict=True))
    assert whole[1:] == again[1:]


def test_the_order_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The solver state takes its place last: where it is, the others are."""
    moved: list[str] = []
    move = Path.replace

    def watched(self: Path, target: Path) -> Path:
        moved.append(Path(target).name)
        return move(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    run(small_run.make(tmp_path, solver=PLAIN))
    ours = [name for name in moved if name.startswith("snap_iter_4")]
    assert ours == ["snap_iter_4.caffemodel", "snap_iter_4.runstate", "snap_iter_4.solverstate"]
    assert not [p.name for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


def test_disk_full_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training goes on, the last snapshot stays, the user is told; when the disk has room again, all is well."""
    path = small_run.make(tmp_path, solver=PLAIN.replace("snapshot: 4", "snapshot: 2"))
    sync, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if 7 < len(calls) < 10:  # a snapshot forces seven writes to the disk: the second and third fail at the first
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    events = run(path)
    warned = [e for e in events if isinstance(e, ev.Warned)]
    assert warned
    assert {w.diagnostic.code for w in warned} == {"ND0802"}
    assert "No space left" in warned[0].diagnostic.message
    assert {(w.diagnostic.severity, w.diagnostic.help[0]) for w in warned} == {(Severity.WARNING, "training goes on")}
    saved = [e.iteration for e in events if isinstance(e, ev.Snapshotted)]
    assert saved == [2, 8]
    assert [w.iteration for w in warned] == [4, 6]
    assert sorted(n for n, _ in existing(str(tmp_path / "out" / "snap"))) == saved
    assert not list((tmp_path / "out").glob(".*"))


def test_disk_full_at_the_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_run.make(tmp_path, solver=PLAIN)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError) as failure:
        run(path)
    assert failure.value.diagnostics[0].code == "ND0802"
    assert failure.value.exit_code == 3


def test_no_place_is_found_before_training(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    with Solver(small_run.make(tmp_path)) as solver:
        with pytest.raises(NetdefError) as failure:
            solver.solve()
        assert failure.value.diagnostics[0].code == "ND0803"
        assert solver.iter == 0


def test_a_new_folder_is_made(tmp_path: Path) -> None:
    run(small_run.make(tmp_path, solver=PLAIN), snapshot_prefix=str(tmp_path / "a" / "b" / "snap"))
    assert (tmp_path / "a" / "b" / "snap_iter_8.solverstate").exists()


def test_keep(tmp_path: Path) -> None:
    run(small_run.make(tmp_path, solver=PLAIN.replace("snapshot: 4", "snapshot: 1")), snapshot_keep=2)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"snap_iter_{n}.{end}" for n in (7, 8) for end in ("caffemodel", "runstate", "solverstate")
    ]


def test_prune_leaves_what_is_newer_and_what_is_not_ours(tmp_path: Path) -> None:
    names = [f"s_iter_{n}.{end}" for n in (1, 2, 10) for end in ("caffemodel", "solverstate")]
    for name in (*names, "other_iter_1.solverstate", "s_iter_3.solverstate"):
        (tmp_path / name).touch()
    prune(str(tmp_path / "s"), 1, 2)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"s_iter_2.caffemodel", "s_iter_2.solverstate", "s_iter_10.caffemodel", "s_iter_10.solverstate",
                    "other_iter_1.solverstate", "s_iter_3.solverstate"}  # fmt: skip
    assert [n for n, _ in existing(str(tmp_path / "s"))] == [10, 2]


def snapshot(path: Path, **changes: Any) -> Place:
    with Solver(replace(read_config(str(path))[0], **changes)) as solver:
        solver.step(1)
        return solver.snapshot()


def refused(path: Path, state: Path, **changes: Any) -> str:
    with Solver(replace(read_config(str(path))[0], **changes)) as solver:
        before = params(solver)
        with pytest.raises(NetdefError) as failure:
            solver.restore(state)
        assert all(torch.equal(a, b) for a, b in zip(before, params(solver), strict=True))
    return f"{failure.value.diagnostics[0].code} {failure.value.diagnostics[0].message}"


def test_another_type(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    place = snapshot(path)
    assert "ND0804" in refused(path, place.state, type="AdaDelta")
    place.run.unlink()
    said = refused(path, place.state, type="SGD")
    assert "ND0804" in said
    assert "another type of solver" in said


def test_another_net(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    place = snapshot(path)
    small_run.make(tmp_path, net=small_run.NET.replace("num_output: 4", "num_output: 5"))
    assert '"conv.weight"' in refused(path, place.state)
    small_run.make(tmp_path, net=small_run.NET.replace('name: "ip"', 'name: "ip2"'))
    assert refused(path, place.state).endswith('its weights have no layer "ip2"')


def test_weights_as_state(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    assert "ND0607" in refused(path, snapshot(path).weights)


def test_missing_weights(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    place = snapshot(path)
    place.weights.unlink()
    assert "ND0601" in refused(path, place.state)


def test_a_moved_folder(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    place = snapshot(path)
    moved = (tmp_path / "out").rename(tmp_path / "elsewhere")
    with Solver(path) as solver:
        solver.restore(moved / place.state.name)
        assert solver.iter == 1


def test_a_damaged_run_state_is_told_and_passed_over(tmp_path: Path) -> None:
    path = small_run.make(tmp_path)
    place = snapshot(path)
    place.run.write_bytes(place.run.read_bytes()[:50])
    events: list[ev.Event] = []
    with Solver(path, observers=[events.append]) as solver:
        solver.restore(place.state)
        assert solver.iter == 1
    assert [e.diagnostic.code for e in events if isinstance(e, ev.Warned)] == ["ND0807"]
