"""Does every kind of bad input end in a diagnostic and the right exit code, with nothing half-written or lost?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import lmdb
import pytest

from netdef.cli import main
from netdef.schema import netdef_pb2 as pb

ROOT = Path(__file__).parents[2]

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 4 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
DUMMY = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 100 } shape { dim: 4 } data_filler { type: "gaussian" std: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 300
  weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 4 display: 1 snapshot_prefix: "out/x" solver_mode: CPU
random_seed: 1
"""


def netdef(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["netdef", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def codes(errors: str) -> set[str]:
    return {line[6:12] for line in errors.splitlines() if line.startswith("error[")}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Texts. Every command that reads one says the same.


def _text(content: str | bytes) -> Callable[[], None]:
    data = content.encode() if isinstance(content, str) else content
    return lambda: (None, Path("net.prototxt").write_bytes(data))[0]


HUGE = 'layer { name: "x" type: "%s" bottom: "data" top: "x" %s { num_output: 4000000000 %s } }'
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
TEXTS: dict[str, tuple[Callable[[], None], str]] = {
    "missing": (lambda: None, "ND0010"),
    "a folder": (lambda: Path("net.prototxt").mkdir(), "ND0011"),
    "binary": (_text(bytes(range(256)) * 40), "ND0014"),
    "binary without a zero": (_text(bytes(range(1, 9)) * 500), "ND0114"),
    "not UTF-8": (_text(b'name: "\xe9\xff"\n'), "ND0015"),
    "a line of 10 MB": (_text('name: "' + "a" * 10_000_000), "ND0102"),
    "nested 10,000 deep": (_text("layer { " * 10_000 + "}" * 10_000), "ND0112"),
    "nested and never closed": (_text("layer { " * 10_000), "ND0112"),
    "num_output: 4000000000": (_text(INPUT + HUGE % ("Convolution", "convolution_param", "kernel_size: 1")), "ND0404"),
    "as many neurons": (_text(INPUT + HUGE % ("InnerProduct", "inner_product_param", "")), "ND0404"),
    "a blob past all memory": (_text(INPUT.replace("dim: 8", "dim: 4000000000")), "ND0479"),
}


@pytest.mark.parametrize("command", ["check", "summary", "export"])
@pytest.mark.parametrize(("make", "code"), TEXTS.values(), ids=TEXTS)
def test_texts(
    make: Callable[[], None],
    code: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make()
    more = ["-o", "net.onnx"] if command == "export" else []
    assert netdef(command, "net.prototxt", *more, monkeypatch=monkeypatch) == 1
    assert code in codes(capsys.readouterr().err)
    assert not Path("net.onnx").exists()


# Databases, met by a training run.


def record(channels: int, height: int, width: int, label: int, **more: object) -> bytes:
    datum = pb.Datum(channels=channels, height=height, width=width, label=label, **more)  # type: ignore[arg-type]
    if not more:
        datum.data = bytes(channels * height * width)
    return datum.SerializeToString()


def _records(records: Iterable[bytes]) -> None:
    with lmdb.open("db", map_size=1 << 22) as env, env.begin(write=True) as transaction:
        for number, value in enumerate(records):
            transaction.put(b"%08d" % number, value)


def _good(labels: Iterable[int] = (0, 1, 2) * 3) -> None:
    _records(record(1, 2, 2, label) for label in labels)


def _cut(size: int) -> None:
    _good()
    os.truncate("db/data.mdb", size)


def _junk() -> None:
    Path("db").mkdir()
    Path("db/data.mdb").write_bytes(os.urandom(20_000))


def _nan() -> None:
    values = [[1.0, 2.0, 3.0, 4.0]] * 8
    values[5] = [1.0, float("nan"), 3.0, 4.0]
    _records(record(1, 2, 2, 0, float_data=row) for row in values)


DATABASES: dict[str, tuple[Callable[[], None], int, str]] = {
    "absent": (lambda: None, 1, "ND0321"),
    "empty": (lambda: _records([]), 1, "ND0504"),
    "truncated": (lambda: _cut(9_000), 1, "ND0503"),
    "of no length": (lambda: _cut(0), 1, "ND0502"),
    "not one": (_junk, 1, "ND0502"),
    "a folder of nothing": (lambda: Path("db").mkdir(), 1, "ND0502"),
    "a file": (lambda: (None, Path("db").write_text("db"))[0], 1, "ND0502"),
    "records of other shapes": (lambda: _records([record(1, 2, 2, 0)] * 2 + [record(1, 3, 2, 0)] * 2), 1, "ND0511"),
    "records of nothing": (lambda: _records([b"\xff\xff junk"] * 4), 1, "ND0510"),
    "records cut short": (lambda: _records([record(1, 2, 2, 0, data=b"ab")] * 4), 1, "ND0510"),
    "records that lie": (lambda: _records([record(60_000, 60_000, 60_000, 0, data=b"ab")] * 4), 1, "ND0510"),
    "labels out of range": (lambda: _good(range(9)), 1, "ND0512"),
    "labels below zero": (lambda: _good([-1] * 4), 1, "ND0512"),
    "not a number": (_nan, 3, "ND0801"),
}


@pytest.mark.parametrize(("make", "exit_code", "code"), DATABASES.values(), ids=DATABASES)
def test_databases(
    make: Callable[[], None],
    exit_code: int,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make()
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)
    assert netdef("train", "solver.prototxt", monkeypatch=monkeypatch) == exit_code
    assert codes(capsys.readouterr().err) == {code}
    assert not list(Path().glob("out/x*"))


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_database_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Root may read everything, so the system's answer is made up."""
    _good()
    Path("net.prototxt").write_text(NET)
    monkeypatch.setattr("netdef.data.database.os.access", lambda path, mode: False)
    assert netdef("check", "net.prototxt", monkeypatch=monkeypatch) == 1
    assert codes(capsys.readouterr().err) == {"ND0502"}


# The disk. A limit on the size of files stands for one that is full: the system refuses the same writes.


def limited(*arguments: str, blocks: int) -> subprocess.CompletedProcess[str]:
    """A command whose files may have so many kilobytes."""
    run = f"ulimit -f {blocks}; exec {sys.executable} -m netdef {' '.join(arguments)}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(["bash", "-c", run], env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_no_room_for_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on to its end, says each time what is missing, and leaves the last whole snapshot alone."""
    Path("net.prototxt").write_text(DUMMY)
    Path("solver.prototxt").write_text(SOLVER)
    assert netdef("train", "solver.prototxt", "--iterations", "1", monkeypatch=monkeypatch) == 0
    before = {path.name: path.read_bytes() for path in Path("out").glob("x_*")}
    Path("solver.prototxt").write_text(SOLVER + "snapshot: 2")
    run = limited("train", "solver.prototxt", blocks=8)
    assert (run.returncode, codes(run.stderr)) == (3, {"ND0802"})
    assert "Iteration 3, loss" in run.stdout
    left = {path.name: path.read_bytes() for path in Path("out").iterdir() if path.name != "metrics.jsonl"}
    assert left == before


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
@pytest.mark.parametrize("old", [b"", b"the model of yesterday"], ids=["new", "over another"])
def test_no_room_for_a_model(old: bytes) -> None:
    Path("net.prototxt").write_text(DUMMY)
    if old:
        Path("net.onnx").write_bytes(old)
    run = limited("export", "net.prototxt", "-o", "net.onnx", "--no-verify", blocks=8)
    assert (run.returncode, codes(run.stderr)) == (3, {"ND0914"})
    assert sorted(path.name for path in Path().iterdir()) == sorted(["net.prototxt"] + ["net.onnx"] * bool(old))
    assert not old or Path("net.onnx").read_bytes() == old


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["summary", "check --format json"])
def test_no_room_for_what_is_printed(command: str) -> None:
    Path("net.prototxt").write_text(DUMMY)
    run = f"{sys.executable} -m netdef {command} net.prototxt > /dev/full"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", run], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (3, "error[ND0016]: No space left on device\n")


# Weights and snapshots of other nets.


def test_a_snapshot_of_another_net(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.prototxt").write_text(DUMMY)
    Path("solver.prototxt").write_text(SOLVER)
    assert netdef("train", "solver.prototxt", monkeypatch=monkeypatch) == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    Path("net.prototxt").write_text(DUMMY.replace("num_output: 300", "num_output: 200"))
    state = "out/x_iter_4.solverstate"
    for code, *wrong in (
        ("ND0804", "--snapshot", state),
        ("ND0611", "--weights", "out/x_iter_4.caffemodel"),
        ("ND0601", "--snapshot", "none.solverstate"),
        ("ND0602", "--snapshot", "net.prototxt"),
    ):
        capsys.readouterr()
        assert netdef("train", "solver.prototxt", *wrong, monkeypatch=monkeypatch) == 1
        assert codes(capsys.readouterr().err) == {code}
    Path("bad.solverstate").write_bytes(Path(state).read_bytes()[:50])
    assert netdef("train", "solver.prototxt", "--snapshot", "bad.solverstate", monkeypatch=monkeypatch) == 1
    assert before == {path.name: path.read_bytes() for path in Path("out").iterdir()}
