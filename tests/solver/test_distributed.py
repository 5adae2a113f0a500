"""Do several processes train as one does?"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netdef.weights import read_run_state, read_solverstate, read_weights
from tests.solver import small_run

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and gloo as on Linux")

PLAIN = "\n".join(line for line in small_run.NET.splitlines() if '"BatchNorm"' not in line).replace(
    "dropout_ratio: 0.3", "dropout_ratio: 0"
)
WITH_NORM = small_run.NET.replace("dropout_ratio: 0.3", "dropout_ratio: 0")
LOSS = 'type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss"'
EUCLIDEAN = """
layer {{ name: "one" type: "InnerProduct" bottom: "conv" top: "one"
  inner_product_param {{ num_output: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "unread" type: "InnerProduct" bottom: "conv" top: "unread"
  inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "silence" type: "Silence" bottom: "unread" }}
layer {{ name: "far" type: "EuclideanLoss" bottom: "one" bottom: "label" top: "far" loss_weight: 0.25 }}
"""

STATED = """
layer {{ name: "stated" type: "Reshape" bottom: "conv" top: "stated" include {{ phase: TRAIN }}
  reshape_param {{ shape {{ dim: 7 dim: 2 dim: -1 }} }} }}
layer {{ name: "mean" type: "Reduction" bottom: "stated" top: "mean" include {{ phase: TRAIN }} loss_weight: 0.3
  reduction_param {{ operation: MEAN }} }}
"""

NETS = {
    "plain": PLAIN,
    "the batch stated": PLAIN + STATED,
    "ignored labels": PLAIN.replace(LOSS, LOSS + " loss_param {{ ignore_label: 1 }}"),
    "class weights": PLAIN.replace(LOSS, LOSS + " loss_param {{ class_weight: [0.5, 3, 1] ignore_label: 2 }}"),
    "no normalization": PLAIN.replace(LOSS, LOSS + " loss_param {{ normalization: NONE }}"),
    "two losses": PLAIN + EUCLIDEAN,
}


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "netdef", "train", str(folder / "solver.prototxt"), *options]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}


def train(folder: Path, *options: str, code: int = 0) -> str:
    done = subprocess.run(
        command(folder, *options), env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def trace(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in ("kind", "iteration", "loss", "outputs")} for line in lines]


def assert_near(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected, strict=True):
        assert (a["loss"] or 0) == pytest.approx(b["loss"] or 0, rel=2e-4)
        assert a["outputs"].keys() == b["outputs"].keys()
        for name, value in a["outputs"].items():
            assert value == pytest.approx(b["outputs"][name], rel=2e-4), name


def traces(folder: Path, count: int, cases: dict[str, tuple[str, str]]) -> dict[str, list[dict[str, Any]]]:
    """For each case, a net and solver fields, what a run in so many processes tells."""
    folders = {name: folder / f"{count}_{name.replace(chr(32), chr(95))}" for name in cases}
    for name, (net, more) in cases.items():
        folders[name].mkdir(exist_ok=True)
        # Adam would make steps of the rounding errors that are all the gradient of a bias in front of BatchNorm.
        text = small_run.SOLVER.replace('"Adam"', '"SGD"') if "sync" in more else small_run.SOLVER
        small_run.make(folders[name], " display: 1 " + more, net=net, solver=text)
    run = [sys.executable, str(Path(__file__).with_name("ranks.py")), str(count), *map(str, folders.values())]
    done = subprocess.run(run, env=environment(), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return {name: trace(own) for name, own in folders.items()}


def compare(folder: Path, count: int, cases: dict[str, tuple[str, str]]) -> None:
    one, several = (traces(folder, processes, cases) for processes in (1, count))
    for name in cases:
        assert_near(several[name], one[name])


CASES = {
    **{name: (net, "") for name, net in NETS.items()},
    "synchronised": (WITH_NORM, "sync_batch_norm: true"),
}


def test_two_processes_follow_one(tmp_path: Path) -> None:
    """A batch of 7 in parts of 3 and 4, two batches an update, 2 test batches, shuffled data."""
    compare(tmp_path, 2, CASES)
    weights = [read_weights(tmp_path / f"{count}_synchronised/out/snap_iter_20.caffemodel") for count in (1, 2)]
    for blobs in zip(*(model["bn"] for model in weights), strict=True):
        np.testing.assert_allclose(*blobs, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_four_processes_follow_one(tmp_path: Path) -> None:
    """Parts of 1 and 2 rows; two of the four have no test batch."""
    compare(tmp_path, 4, CASES)


def test_a_batch_of_each_device(tmp_path: Path) -> None:
    """Two processes with 4 rows each are one process with 8, as in Caffe."""
    found = [
        traces(tmp_path, count, {"case": (PLAIN.replace("batch_size: 7", f"batch_size: {rows}"), more)})["case"]
        for count, rows, more in ((1, 8, ""), (2, 4, "batch: PER_DEVICE"))
    ]
    assert_near(found[1], found[0])


def test_resume_is_exact(tmp_path: Path) -> None:
    """With dropout, whose numbers each process draws for itself, and BatchNorm, which each counts for itself."""
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
        small_run.make(tmp_path / name, " display: 1")
    train(tmp_path / "whole", "--processes", "2")
    train(tmp_path / "parts", "--processes", "2", "--iterations", "5")
    said = train(tmp_path / "parts", "--processes", "2", "--resume", "auto")
    assert said.count("Going on at iteration 5") == 1
    states = [tmp_path / name / "out/snap_iter_20.solverstate" for name in ("whole", "parts")]
    history = [read_solverstate(path).history for path in states]
    for a, b in zip(*history, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_differs_between_processes(tmp_path: Path) -> None:
    small_run.make(tmp_path, " display: 5")
    train(tmp_path, "--processes", "2", "--iterations", "5")
    arrays, _ = read_run_state(tmp_path / "out/snap_iter_5.runstate")
    assert not np.array_equal(arrays["cpu"], arrays["rank1.cpu"])


LONG = small_run.SOLVER.replace("max_iter: 20", "max_iter: 100000")
LONG = LONG.replace("snapshot: 5", "snapshot: 20 snapshot_keep: 2")


def started(folder: Path, solver: str = LONG) -> subprocess.Popen[str]:
    small_run.make(folder, solver=solver)
    process = subprocess.Popen(
        command(folder, "--processes", "2"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob("out/*.solverstate")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def children(process: subprocess.Popen[str]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
def test_a_killed_process_ends_the_run_with_one_message(tmp_path: Path) -> None:
    process = started(tmp_path)
    workers = children(process)
    os.kill(workers[1], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 3
    assert said.splitlines()[0] == "error[ND0810]: process 1 of 2 was ended by SIGKILL: the run has ended"
    assert said.count("error[") == 1
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert "Going on at iteration" in train(tmp_path, "--processes", "2", "--resume", "auto", "--iterations", "1")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)], ids=["ctrl_c", "sigterm"])
def test_a_signal_stops_all_with_one_snapshot(tmp_path: Path, number: int, code: int) -> None:
    process = started(tmp_path)
    process.send_signal(number)
    out, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (code, "")
    assert out.splitlines()[-1].startswith("Stopped at iteration ")


def test_a_signal_breaks_a_test_off(tmp_path: Path) -> None:
    """A test that would take hours: both processes leave it, and it is as if it had not begun."""
    endless = LONG.replace("test_iter: 2 test_interval: 6", "test_iter: 1000001 test_interval: 20")
    process = started(tmp_path, endless + "test_initialization: false")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "")
    assert out.splitlines()[-1].startswith("Stopped at iteration 20")
    _, values = read_run_state(tmp_path / "out/snap_iter_20.runstate")
    assert [source["batch"] for source in values["data"]["tests"][0].values()] == [0]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
def test_sigterm_to_another_process_than_the_first_is_told_of_too(tmp_path: Path) -> None:
    process = started(tmp_path)
    os.kill(children(process)[1], signal.SIGTERM)
    out, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (143, "")
    assert out.splitlines()[-1].startswith("Stopped at iteration ")


def test_a_mistake_is_told_once(tmp_path: Path) -> None:
    small_run.make(tmp_path, net=PLAIN.replace("batch_size: 7", "batch_size: 1"))
    said = train(tmp_path, "--processes", "2", code=1)
    assert said.count("error[ND0507]") == 1


def test_sizes_for_the_whole_batch_alone(tmp_path: Path) -> None:
    text = """layer {{ name: "flat" type: "Reshape" bottom: "data" top: "flat" include {{ phase: TRAIN }}
      reshape_param {{ shape {{ dim: 14 dim: 36 }} }} }}"""
    small_run.make(tmp_path, net=PLAIN + text)
    said = train(tmp_path, "--processes", "2", code=1)
    assert said.count("error[ND0721]") == 1
    assert 'Reshape "flat"' in said


def torchrun(folder: Path, *options: str, restarts: int = 0) -> subprocess.Popen[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    how = f"--nproc-per-node 2 --max-restarts {restarts} --master-addr 127.0.0.1 --master-port {port}"
    run = [sys.executable, "-m", "torch.distributed.run", *how.split(), "-m", *command(folder, *options)[2:]]
    return subprocess.Popen(run, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_torchrun(tmp_path: Path) -> None:
    small_run.make(tmp_path, " display: 1", net=PLAIN)
    process = torchrun(tmp_path)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert_near(trace(tmp_path), traces(tmp_path, 1, {"one": (PLAIN, "")})["one"])


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
def test_torchrun_restarts_a_run(tmp_path: Path, rank: int) -> None:
    """A process is killed in mid-run: the last weights are those of a run that nothing happened to, bit for bit."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        small_run.make(tmp_path / name, solver=LONG.replace("max_iter: 100000", "max_iter: 200"))
    process = torchrun(tmp_path / "killed", "--resume", "auto", restarts=1)
    os.kill(worker(process, tmp_path / "killed", rank), signal.SIGKILL)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count("Going on at iteration") == 1
    train(tmp_path / "whole", "--processes", "2")
    a, b = (read_weights(tmp_path / name / "out/snap_iter_200.caffemodel") for name in ("whole", "killed"))
    for one, other in zip(a.values(), b.values(), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


def worker(process: subprocess.Popen[str], folder: Path, rank: int) -> int:
    """The process of that rank, once there is a snapshot."""
    deadline = time.monotonic() + 120
    while not list(folder.glob("out/*.solverstate")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    wanted = f"RANK={rank}".encode()
    return next(pid for pid in children(process) if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))


@pytest.mark.slow
def test_torchrun_tells_a_mistake_once(tmp_path: Path) -> None:
    small_run.make(tmp_path, net=PLAIN.replace("batch_size: 7", "batch_size: 1"))
    process = torchrun(tmp_path)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert said.count("error[ND0507]") == 1
