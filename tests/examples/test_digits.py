"""Does the digits example do what its README says?"""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest

from netdef.schema.netdef_pb2 import Datum
from netdef.solver.loop import Solver

DIGITS = Path(__file__).parents[2] / "examples/digits"
Records = list[tuple[bytes, bytes]]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example in a folder of its own, from whose root it runs."""
    shutil.copytree(DIGITS, tmp_path / "examples/digits")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "examples/digits"


def records(path: Path) -> Records:
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as transaction:
        return list(transaction.cursor())


def test_databases_are_those_of_the_script(copy: Path) -> None:
    runpy.run_path(str(copy / "make_data.py"), run_name="__main__")
    for name in ("train_lmdb", "test_lmdb"):
        assert records(copy / name) == records(DIGITS / name)


def test_databases_hold_all_images_once() -> None:
    with np.load(DIGITS / "digits.npz") as file:
        expected = sorted(
            (image.tobytes(), int(label)) for image, label in zip(file["images"], file["labels"], strict=True)
        )
    train, test = (
        [Datum.FromString(value) for _, value in records(DIGITS / f"{name}_lmdb")] for name in ("train", "test")
    )
    assert (len(train), len(test)) == (1437, 360)
    assert sorted((datum.data, datum.label) for datum in train + test) == expected
    assert {(datum.channels, datum.height, datum.width) for datum in train + test} == {(1, 8, 8)}
    assert max(max(datum.data) for datum in train + test) == 16


@pytest.mark.slow
def test_learns_to_read(copy: Path) -> None:
    with Solver("examples/digits/solver.prototxt") as solver:
        solver.solve()
        (score,) = solver.test_all()
    accuracy = {output.name: float(output.values) for output in score.outputs}["accuracy"]
    assert accuracy >= 0.98
    assert (copy / "digits_iter_1500.caffemodel").is_file()
