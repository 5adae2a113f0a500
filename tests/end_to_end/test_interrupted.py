"""Is a run that Ctrl-C ended, and that goes on from its snapshot, the run that never stopped, bit for bit?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.solver import small_run

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
ITERATIONS = 400

# What Caffe's public schema says of the two files, written out by hand: number, name, type, repeated, message.
_FLOAT, _INT32, _STRING, _MESSAGE, _INT64 = 2, 5, 9, 11, 3
_PUBLIC = {
    "Shape": ((1, "dim", _INT64, True, ""),),
    "Blob": ((5, "data", _FLOAT, True, ""), (7, "shape", _MESSAGE, False, "Shape")),
    "Layer": ((1, "name", _STRING, False, ""), (2, "type", _STRING, False, ""), (7, "blobs", _MESSAGE, True, "Blob")),
    "Net": ((1, "name", _STRING, False, ""), (100, "layer", _MESSAGE, True, "Layer")),
    "State": (
        (1, "iter", _INT32, False, ""),
        (2, "learned_net", _STRING, False, ""),
        (3, "history", _MESSAGE, True, "Blob"),
        (4, "current_step", _INT32, False, ""),
    ),
}


@cache  # messages of two pools are never equal
def public(name: str) -> type:
    """A message of that schema, made without netdef's."""
    file = descriptor_pb2.FileDescriptorProto(name="public.proto", package="public", syntax="proto2")
    for message, fields in _PUBLIC.items():
        made = file.message_type.add(name=message)
        for number, field, kind, repeated, of in fields:
            one = made.field.add(name=field, number=number, type=kind, label=3 if repeated else 1)  # type: ignore[arg-type]
            if of:
                one.type_name = f".public.{of}"
            one.options.packed = repeated and kind in {_FLOAT, _INT64}
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"public.{name}"))  # type: ignore[no-untyped-call]


def command(solver: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "netdef", "train", str(solver), "--iterations", str(ITERATIONS), *more]


def run(solver: Path, *more: str) -> None:
    subprocess.run(command(solver, *more), env=ENVIRONMENT, capture_output=True, check=True, timeout=300)


def interrupted(solver: Path) -> Path:
    """Start a run, send it SIGINT in the middle; the solver state it says to go on from."""
    with subprocess.Popen(
        command(solver), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Iteration 20, loss"):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.splitlines()[-1].startswith("Stopped at iteration ")
    return Path(out.split()[-1])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run without a stop, and with one, whose state is `state`."""
    found = {}
    for name in ("whole", "stopped"):
        folder = tmp_path_factory.mktemp(name)
        text = small_run.SOLVER.replace("snapshot: 5", "snapshot: 0").replace("stepvalue: 14", "stepvalue: 200")
        found[name] = small_run.make(folder, "display: 5", solver=text)
    run(found["whole"])
    found["state"] = interrupted(found["stopped"])
    run(found["stopped"], "--snapshot", str(found["state"]))
    return found


def test_the_run_is_the_same_to_the_last_bit(folders: dict[str, Path]) -> None:
    whole, stopped = (folders[name].parent / "out" for name in ("whole", "stopped"))
    last = f"snap_iter_{ITERATIONS}"
    assert (whole / f"{last}.caffemodel").read_bytes() == (stopped / f"{last}.caffemodel").read_bytes()
    states = [public("State").FromString((folder / f"{last}.solverstate").read_bytes()) for folder in (whole, stopped)]
    assert [state.iter for state in states] == [ITERATIONS] * 2
    assert list(states[0].history) == list(states[1].history)


def test_plain_protobuf_reads_what_is_written(folders: dict[str, Path]) -> None:
    """Names, shapes and rows are those that Caffe expects: Adam keeps two rows for each parameter, BatchNorm's too."""
    state = public("State").FromString(folders["state"].read_bytes())
    assert folders["state"].name == f"snap_iter_{state.iter}.solverstate"
    net = public("Net").FromString(Path(state.learned_net).read_bytes())
    blobs = {layer.name: [tuple(blob.shape.dim) for blob in layer.blobs] for layer in net.layer if layer.blobs}
    assert blobs == {"conv": [(4, 2, 3, 3), (4,)], "bn": [(4,), (4,), (1,)], "ip": [(3, 64), (3,)]}
    shapes = [shape for layer in blobs.values() for shape in layer]
    assert [tuple(blob.shape.dim) for blob in state.history] == shapes * 2
    assert all(len(blob.data) == np.prod(shape) for blob, shape in zip(state.history, shapes * 2, strict=True))


def test_nothing_else_is_left(folders: dict[str, Path]) -> None:
    names = {path.name for path in folders["state"].parent.iterdir()}
    stems = (folders["state"].stem, f"snap_iter_{ITERATIONS}")
    assert names == {f"{stem}.{end}" for stem in stems for end in ("caffemodel", "runstate", "solverstate")} | {
        "metrics.jsonl"
    }
