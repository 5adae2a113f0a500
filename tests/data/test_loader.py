"""Does reading ahead hand errors on, and stop when it is told to?"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from netdef.data.loader import Loader, num_readers
from netdef.data.source import open_source
from tests.data.build import Refused, data_layer, make_lmdb, numbered


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("netdef-loader")]


def test_an_error_comes_with_its_batch_each_time(tmp_path: Path) -> None:
    layer = data_layer(make_lmdb(tmp_path / "db", [*numbered(6), b"junk"]), 2)
    with Loader(open_source(layer, phase="TRAIN", name="d"), workers=2, depth=8) as loader:
        for _ in range(3):
            loader.next_batch()
        for _ in range(2):
            with Refused("ND0510", 'record "00000006"'):
                loader.next_batch()
        assert loader.state()["batch"] == 3
    assert not alive()


def test_stops_promptly_however_much_is_ahead(tmp_path: Path) -> None:
    layer = data_layer(make_lmdb(tmp_path / "db", numbered(10, (3, 200, 200))), 10)
    loader = Loader(open_source(layer, phase="TRAIN"), workers=3, depth=100)
    loader.next_raw()
    begun = time.monotonic()
    loader.close()
    assert time.monotonic() - begun < 2
    assert not alive()


def test_never_reads_further_than_its_depth(tmp_path: Path) -> None:
    source = open_source(data_layer(make_lmdb(tmp_path / "db", numbered(3)), 1), phase="TRAIN")
    fetched: list[int] = []
    fetch = source.fetch
    source.fetch = lambda number: fetched.append(number) or fetch(number)  # type: ignore[method-assign, func-returns-value]
    with Loader(source, workers=2, depth=3) as loader:
        loader.next_raw()
    assert fetched == sorted(fetched)
    assert max(fetched) <= 3


@pytest.mark.parametrize(("cores", "processes", "readers"), [(2, 1, 2), (6, 1, 5), (16, 1, 8), (16, 4, 3), (16, 16, 2)])
def test_readers_have_the_cores_that_a_gpu_leaves(
    cores: int, processes: int, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(cores), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert num_readers(beside_gpu=True) == readers
    assert num_readers(beside_gpu=False) == 2
