"""Does `netdef data` make, average and describe databases as Caffe's tools do?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from netdef.cli.data import command
from netdef.data.database import open_database
from netdef.data.mean import read_mean
from netdef.data.source import open_source
from netdef.diagnostics import NetdefError
from netdef.schema.netdef_pb2 import Datum
from tests.data.build import data_layer, make_images, make_lmdb, numbered

GOLDEN = Path(__file__).parents[1] / "golden/transforms/data"


def run(*arguments: str | Path) -> str:
    return (
        CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False, standalone_mode=False).output
    )


def refused(*arguments: str | Path) -> tuple[str, str]:
    with pytest.raises(NetdefError) as caught:
        run(*arguments)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code, diagnostic.message


def values(path: Path) -> list[Datum]:
    database = open_database(path, "LMDB")
    records = database.read(0, database.entries)
    database.close()
    return [Datum.FromString(value) for _, value in records]


def picture(folder: Path, name: str, shape: Sequence[int]) -> np.ndarray:
    image = np.random.default_rng(len(name)).integers(0, 256, shape).astype(np.uint8)
    cv2.imwrite(str(folder / name), image)
    return image


def test_import_keeps_pixels_labels_and_caffes_keys(tmp_path: Path) -> None:
    images = {name: picture(tmp_path, name, (5, 4, 3)) for name in ("a.png", "b c.bmp")}
    (tmp_path / "list.txt").write_text("a.png 3\nb c.bmp 70000\n")
    assert "2 of 2 images" in run("import", tmp_path / "list.txt", tmp_path / "db")
    assert [record[0] for record in open_database(tmp_path / "db", "LMDB").read(0, 2)] == [
        b"00000000_a.png",
        b"00000001_b c.bmp",
    ]
    data, labels = open_source(data_layer(tmp_path / "db", 2), phase="TEST").next_batch()
    np.testing.assert_array_equal(data, np.stack([image.transpose(2, 0, 1) for image in images.values()]))
    assert labels.tolist() == [3, 70000]


def test_import_resizes_and_greys(tmp_path: Path) -> None:
    image = picture(tmp_path, "a.png", (9, 7))
    (tmp_path / "list.txt").write_text("a.png 0\n")
    run("import", tmp_path / "list.txt", tmp_path / "db", "--gray", "--resize-height", "4", "--resize-width", "6")
    (datum,) = values(tmp_path / "db")
    assert (datum.channels, datum.height, datum.width) == (1, 4, 6)
    assert datum.data == cv2.resize(image, (6, 4)).tobytes()


@pytest.mark.parametrize(
    ("options", "magic"), [(["--encoded"], b"\x89PNG"), (["--encode-type", "jpg"], b"\xff\xd8\xff")]
)
def test_import_keeps_files(options: list[str], magic: bytes, tmp_path: Path) -> None:
    picture(tmp_path, "a.png", (9, 7, 3))
    (tmp_path / "list.txt").write_text("a.png 0\n")
    run("import", tmp_path / "list.txt", tmp_path / "db", *options)
    (datum,) = values(tmp_path / "db")
    assert datum.encoded
    assert datum.data.startswith(magic)
    if magic == b"\x89PNG":
        assert datum.data == (tmp_path / "a.png").read_bytes()


def test_shuffled_imports_repeat(tmp_path: Path) -> None:
    source = make_images(tmp_path, 20)
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        run("import", source, tmp_path / name, "--shuffle", "--seed", seed)
    a, b, c = ([datum.label for datum in values(tmp_path / name)] for name in "abc")
    assert a == b != c
    assert sorted(a) == sorted(c) == list(range(20))


BAD_LISTS = {
    "missing image": ("nowhere.png 0\n", [], "ND0531", "line 1"),
    "no image": ("list.txt 0\n", [], "ND0513", "line 1"),
    "sizes differ": ("a.png 0\nb.png 0\n", ["--check-size"], "ND0511", "line 2"),
    "no label": ("a.png\n", [], "ND0530", "list.txt:1"),
    "unknown kind": ("a.png 0\n", ["--encode-type", "doc"], "ND0582", "doc"),
}


@pytest.mark.parametrize(("text", "options", "code", "part"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_refused_import_leaves_nothing(text: str, options: list[str], code: str, part: str, tmp_path: Path) -> None:
    picture(tmp_path, "a.png", (4, 4, 3))
    picture(tmp_path, "b.png", (4, 5, 3))
    (tmp_path / "list.txt").write_text(text)
    before = sorted(tmp_path.iterdir())
    found, message = refused("import", tmp_path / "list.txt", tmp_path / "db", *options)
    assert (found, part in message) == (code, True), message
    assert sorted(tmp_path.iterdir()) == before


def test_bad_images_can_be_left_out(tmp_path: Path) -> None:
    picture(tmp_path, "a.png", (4, 4, 3))
    (tmp_path / "list.txt").write_text("nowhere.png 0\na.png 1\n")
    assert "1 of 2 images" in run("import", tmp_path / "list.txt", tmp_path / "db", "--skip-bad")
    assert [datum.label for datum in values(tmp_path / "db")] == [1]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    source = make_images(tmp_path, 1)
    make_lmdb(tmp_path / "db", numbered(3))
    assert refused("import", source, tmp_path / "db")[0] == "ND0580"
    assert len(values(tmp_path / "db")) == 3


def test_mean_equals_caffes(tmp_path: Path) -> None:
    output = run("mean", GOLDEN / "color_lmdb", tmp_path / "mean.binaryproto")
    expected = np.load(GOLDEN / "mean.npy")
    written = read_mean(tmp_path / "mean.binaryproto")
    np.testing.assert_allclose(written, expected.reshape(written.shape), rtol=1e-6)
    np.testing.assert_array_equal(read_mean(GOLDEN / "mean.binaryproto"), expected.reshape(written.shape))
    means = [float(line.split()[1]) for line in output.splitlines() if line.startswith("mean_value")]
    np.testing.assert_allclose(means, written.mean((1, 2)), rtol=1e-5)


def test_mean_of_different_shapes(tmp_path: Path) -> None:
    make_lmdb(tmp_path / "db", [*numbered(1), *numbered(1, (1, 4, 4))])
    code, message = refused("mean", tmp_path / "db", tmp_path / "mean.binaryproto")
    assert code == "ND0511"
    assert "00000001" in message
    assert not (tmp_path / "mean.binaryproto").exists()


def test_mean_that_cannot_be_written(tmp_path: Path) -> None:
    make_lmdb(tmp_path / "db", numbered(2))
    assert refused("mean", tmp_path / "db", tmp_path / "nowhere" / "mean.binaryproto")[0] == "ND0581"


def test_inspect_counts(tmp_path: Path) -> None:
    found = json.loads(run("inspect", GOLDEN / "float_lmdb", "--format", "json"))
    assert (found["records"], found["forms"], found["shapes"]) == (7, {"floats": 7}, {"2x9x12": 7})
    expected = np.load(GOLDEN / "records.npz")["labels"].tolist()
    assert found["labels"] == {str(label): expected.count(label) for label in sorted(set(expected))}
    assert "PNG" in run("inspect", GOLDEN / "png_lmdb")


def test_inspect_of_a_bad_record(tmp_path: Path) -> None:
    code, message = refused("inspect", make_lmdb(tmp_path / "db", [*numbered(3), b"junk"]))
    assert code == "ND0510"
    assert "00000003" in message
