"""Do sources go round, resume exactly, share their batches out, and shuffle fairly?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from netdef.data.loader import Loader
from netdef.data.probe import probe
from netdef.data.reader import Shard
from netdef.data.source import open_source
from netdef.diagnostics import NetdefError, Source, Span
from netdef.ir import Filler, Places, Shape
from netdef.layers.base import Layer
from netdef.layers.data import DummyData, Input, MemoryData, Transform, WindowData
from tests.data.build import (
    Refused,
    data_layer,
    hdf5_layer,
    image_layer,
    make_hdf5,
    make_images,
    make_lmdb,
    numbered,
)

NUM, BATCH = 7, 3


def lmdb(folder: Path) -> Layer:
    source = make_lmdb(folder / "db", numbered(NUM, (1, 4, 6)))
    return data_layer(source, BATCH, rand_skip=5, crop_size=3, mirror=True)


def images(folder: Path) -> Layer:
    transform = Transform(crop_size=3, mirror=True)
    return image_layer(make_images(folder, NUM), BATCH, root_folder=f"{folder}/", shuffle=True, transform=transform)


def hdf5(folder: Path) -> Layer:
    rows = np.arange(NUM, dtype=np.float64)
    files = [
        {"data": part[:, None] * np.ones(2), "label": part.astype(int)} for part in (rows[:4], rows[4:5], rows[5:])
    ]
    return hdf5_layer(make_hdf5(folder, files), BATCH, shuffle=True, tops="data label")


def dummy(folder: Path) -> Layer:
    fillers = (Filler("gaussian"), Filler("constant", value=3), Filler("uniform", min=2, max=5))
    return DummyData((Shape.of(BATCH, 2), Shape.of(BATCH), Shape.of(BATCH, 1)), fillers)


MAKERS = [lmdb, images, hdf5, dummy]
every_source = pytest.mark.parametrize("make", MAKERS, ids=[make.__name__ for make in MAKERS])


def take(source: Any, count: int) -> list[tuple[Any, ...]]:
    return [source.next_batch() for _ in range(count)]


def assert_same(actual: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    for a, b in zip(actual, expected, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@every_source
def test_resumes_exactly(make: Callable[[Path], Layer], tmp_path: Path) -> None:
    layer = make(tmp_path)
    whole = open_source(layer, phase="TRAIN", seed=5, name="data")
    take(whole, 4)
    state = whole.state()
    rest = take(whole, 6)
    resumed = open_source(layer, phase="TRAIN", seed=99, name="data")
    resumed.restore(state)
    assert_same(take(resumed, 6), rest)


@every_source
@pytest.mark.parametrize("workers", [1, 3])
def test_read_ahead_is_the_same(make: Callable[[Path], Layer], workers: int, tmp_path: Path) -> None:
    layer = make(tmp_path)
    expected = take(open_source(layer, phase="TRAIN", seed=5), 12)
    with Loader(open_source(layer, phase="TRAIN", seed=5), workers=workers, depth=5) as loader:
        assert_same(take(loader, 5), expected[:5])
        state = loader.state()
        assert_same(take(loader, 3), expected[5:8])
        loader.restore(state)
        assert_same(take(loader, 7), expected[5:])


@every_source
@pytest.mark.parametrize("world", [2, 3])
def test_shards_make_up_the_global_batch(make: Callable[[Path], Layer], world: int, tmp_path: Path) -> None:
    layer = make(tmp_path)
    expected = take(open_source(layer, phase="TRAIN", seed=5), 6)
    parts = [take(open_source(layer, phase="TRAIN", seed=5, shard=Shard(rank, world)), 6) for rank in range(world)]
    joined = [tuple(map(np.concatenate, zip(*shares, strict=True))) for shares in zip(*parts, strict=True)]
    assert_same(joined, expected)


@pytest.mark.parametrize("make", [images, hdf5], ids=["images", "hdf5"])
def test_each_round_is_a_new_permutation(make: Callable[[Path], Layer], tmp_path: Path) -> None:
    source = open_source(make(tmp_path), phase="TEST", seed=3)
    labels = np.concatenate([labels for _, labels in take(source, NUM)]).reshape(BATCH, NUM)
    assert source.epoch_size == NUM
    assert {tuple(sorted(row)) for row in labels.tolist()} == {tuple(range(NUM))}
    assert len({tuple(row) for row in labels.tolist()}) > 1


def test_pixels_stay_with_their_labels(tmp_path: Path) -> None:
    for make in (lmdb, images, hdf5):
        (folder := tmp_path / make.__name__).mkdir()
        for data, label in take(open_source(make(folder), phase="TRAIN"), 9):
            assert (data.reshape(BATCH, -1) == label[:, None]).all()


def test_batches_run_on_round_the_end(tmp_path: Path) -> None:
    source = open_source(data_layer(make_lmdb(tmp_path / "db", numbered(2)), 5), phase="TRAIN")
    assert [labels.tolist() for _, labels in take(source, 2)] == [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]]


def test_rand_skip_leaves_out_fewer_than_it_says(tmp_path: Path) -> None:
    path = make_lmdb(tmp_path / "db", numbered(9))
    layer = data_layer(path, 1, rand_skip=4)
    starts = [int(open_source(layer, phase="TRAIN", seed=seed).next_batch()[1][0]) for seed in range(40)]
    assert set(starts) == {0, 1, 2, 3}


def test_layers_of_one_run_draw_differently(tmp_path: Path) -> None:
    layer = DummyData((Shape.of(4),), (Filler("uniform"),))
    a, b = (open_source(layer, phase="TRAIN", seed=1, name=name).next_batch()[0] for name in "ab")
    assert not np.array_equal(a, b)


def test_dummy_data_refills_all_but_constants(tmp_path: Path) -> None:
    first, second = take(open_source(dummy(tmp_path), phase="TRAIN"), 2)
    assert not np.array_equal(first[0], second[0])
    assert first[1].tolist() == second[1].tolist() == [3, 3, 3]
    assert ((first[2] >= 2) & (first[2] <= 5)).all()


def test_image_list_resizes_and_crops_as_opencv(tmp_path: Path) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (9, 14, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a b.png"), picture)
    (tmp_path / "list.txt").write_text("a b.png 7\r\n\n")
    layer = image_layer(tmp_path / "list.txt", 1, root_folder=f"{tmp_path}/", new_height=6, new_width=10)
    data, label = open_source(layer, phase="TEST").next_batch()
    np.testing.assert_array_equal(data[0], cv2.resize(picture, (10, 6)).transpose(2, 0, 1).astype(np.float32))
    assert label.tolist() == [7]
    assert probe(layer).shapes == ((1, 3, 6, 10), (1,))


def test_memory_data(tmp_path: Path) -> None:
    layer = MemoryData(batch_size=2, channels=1, height=2, width=2, transform=Transform())
    source = open_source(layer, phase="TEST", name="m")
    with Refused("ND0551"):
        source.next_batch()
    data = np.arange(16, dtype=np.float64).reshape(4, 1, 2, 2)
    source.reset(data, np.arange(4).reshape(4, 1, 1, 1))
    batches = take(source, 3)
    np.testing.assert_array_equal(batches[0][0], data[:2])
    assert [labels.tolist() for _, labels in batches] == [[0, 1], [2, 3], [0, 1]]
    for images, labels in ((data[:3], range(3)), (data[:, :, :1], range(4)), (data, range(3)), (data[:0], [])):
        with Refused("ND0550"):
            source.reset(images, labels)


BAD = {
    "no list": (image_layer("nowhere.txt"), "", "ND0501"),
    "empty list": (image_layer("list.txt"), "\n \n", "ND0504"),
    "no label": (image_layer("list.txt"), "a.png 1\nb.png\n", "ND0530"),
    "a word as label": (image_layer("list.txt"), "a.png cat\n", "ND0530"),
    "binary list": (image_layer("list.txt"), b"\x89PNG\xff\xfe", "ND0530"),
    "no image": (image_layer("list.txt"), "a.png 1\n", "ND0531"),
    "skips all": (image_layer("list.txt", rand_skip=9), "a.png 1\n", "ND0532"),
    "no HDF5 file": (hdf5_layer("list.txt"), "nowhere.h5", "ND0501"),
    "not an HDF5 file": (hdf5_layer("list.txt"), "list.txt", "ND0540"),
    "no source": (Input((Shape.of(1),)), "", "ND0560"),
    "no window file": (WindowData("w", 1, 4, 0.5, 0.5, 0.25, 0, "warp", False, "", Transform()), "", "ND0501"),
    "no database": (data_layer("nowhere"), "", "ND0501"),
    "no mean file": (data_layer("db", mean_file="nowhere"), "", "ND0501"),
    "a bad mean file": (data_layer("db", mean_file="list.txt"), b"\xff\xff", "ND0521"),
}


@pytest.mark.parametrize(("layer", "text", "code"), BAD.values(), ids=BAD)
def test_refuses(layer: Layer, text: str | bytes, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with Refused(code, 'layer "d"'):
        open_source(layer, phase="TEST", name="d").next_batch()


def test_a_fault_in_a_batch_points_at_its_field(tmp_path: Path) -> None:
    """Of a mean file at `mean_file`, of records at `source`; at the layer where neither is written."""
    text = Source("net.prototxt", "layer source mean_file")
    layer, source, mean = (Span(text, start, end) for start, end in ((0, 5), (6, 12), (13, 22)))
    path = str(make_lmdb(tmp_path / "db", [b"junk"]))
    for bad, fields, expected in (
        (data_layer(path), {"source": source, "mean_file": mean}, source),
        (data_layer(path, mean_file="nowhere"), {"source": source, "mean_file": mean}, mean),
        (data_layer(path, mean_file="nowhere"), {"source": source}, source),
        (data_layer(path), {}, layer),
    ):
        with pytest.raises(NetdefError) as failure:
            open_source(bad, phase="TEST", places=Places(layer, fields=fields)).next_batch()
        assert failure.value.diagnostics[0].span == expected


BAD_HDF5 = {
    "no such data set": ([{"x": np.zeros((2, 1))}], "ND0541", '"x"'),
    "a group": ([{"data/y": np.zeros(2)}], "ND0541", '"data"'),
    "text": ([{"data": ["a", "b"]}], "ND0543", "object"),
    "a scalar": ([{"data": 1.0}], "ND0543", "0-d"),
    "no rows": ([{"data": np.zeros((0, 3))}], "ND0504", "no rows"),
    "files differ": ([{"data": np.zeros((2, 3))}, {"data": np.zeros((2, 4))}], "ND0542", "1.h5"),
}


@pytest.mark.parametrize(("files", "code", "part"), BAD_HDF5.values(), ids=BAD_HDF5)
def test_refuses_hdf5(files: Any, code: str, part: str, tmp_path: Path) -> None:
    with Refused(code, part):
        open_source(hdf5_layer(make_hdf5(tmp_path, files)), phase="TEST")


def test_hdf5_rows_must_agree(tmp_path: Path) -> None:
    layer = hdf5_layer(make_hdf5(tmp_path, [{"data": np.zeros((2, 3)), "label": np.zeros(3)}]), tops="data label")
    with Refused("ND0542", '"data" has 2 rows, "label" has 3 rows'):
        open_source(layer, phase="TEST")


def test_a_position_from_elsewhere_is_refused(tmp_path: Path) -> None:
    source = open_source(dummy(tmp_path), phase="TEST")
    for state in ({}, {"batch": -1, "seed": 0}, {"batch": 1}):
        with Refused("ND0590"):
            source.restore(state)


def test_a_batch_is_not_shared_out_to_more_processes_than_rows(tmp_path: Path) -> None:
    layer = data_layer(make_lmdb(tmp_path / "db", numbered(2)), 2)
    with Refused("ND0507"):
        open_source(layer, phase="TRAIN", shard=Shard(0, 3))
