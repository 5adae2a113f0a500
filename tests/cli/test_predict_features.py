"""`netdef predict` and `netdef features` as a user runs them: forms, streams, exit codes, files."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import cv2
import h5py
import lmdb
import numpy as np
import pytest
import torch

from netdef.api import build, load_net
from netdef.cli import main
from netdef.data.faults import BadData
from netdef.deploy.features import write_features
from netdef.schema.netdef_pb2 import Datum
from tests.golden_cases import GOLDEN

LENET, WEIGHTS = str(GOLDEN / "nets/lenet/net.prototxt"), str(GOLDEN / "nets/lenet/weights.caffemodel")
NET = [LENET, "-w", WEIGHTS, "--scale", "0.00390625"]


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["netdef", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def typed(text: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()))


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """A folder of three images; the working folder is its parent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    generator = np.random.default_rng(5)
    for name in ("a", "b", "c"):
        cv2.imwrite(f"photos/{name}.png", generator.integers(0, 256, (28, 28), np.uint8))
    return tmp_path / "photos"


def scores() -> np.ndarray:
    """What torch says of the three images."""
    pixels = np.stack([cv2.imread(f"photos/{name}.png", cv2.IMREAD_GRAYSCALE) for name in "abc"])
    data = torch.from_numpy(pixels[:, None].astype(np.float32) / 256)
    return build(load_net(LENET), WEIGHTS)(data=data)["prob"].detach().numpy()


def test_json(photos, monkeypatch, capsys):
    assert run(monkeypatch, "predict", *NET, "photos", "--top", 3, "--format", "json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [entry["image"] for entry in found] == [str(Path("photos", f"{name}.png")) for name in "abc"]
    for entry, expected in zip(found, scores(), strict=True):
        order = np.argsort(-expected)[:3]
        assert [each["class"] for each in entry["predictions"]] == order.tolist()
        np.testing.assert_allclose([each["score"] for each in entry["predictions"]], expected[order], atol=1e-6)
    assert "3 images in " in err
    assert "images/s, ONNX Runtime, CPUExecutionProvider" in err


def test_text_and_csv_with_labels(photos, monkeypatch, capsys):
    Path("labels.txt").write_text("".join(f"digit {i}\n" for i in range(10)))
    best = int(scores()[0].argmax())
    arguments = ["predict", *NET, "photos/a.png", "--labels", "labels.txt", "--top", 1, "--backend", "torch"]
    assert run(monkeypatch, *arguments) == 0
    out, err = capsys.readouterr()
    assert out == f"photos/a.png\n  {scores()[0, best]:>8.4f}  {best:>5}  digit {best}\n"
    assert "torch on " in err
    assert run(monkeypatch, *arguments, "--format", "csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["image"], row["rank"], row["class"], row["label"]) == ("photos/a.png", "1", str(best), f"digit {best}")
    assert float(row["score"]) == pytest.approx(scores()[0, best], abs=1e-6)


def test_an_onnx_file_and_a_list_on_standard_input(photos, monkeypatch, capsys):
    assert run(monkeypatch, "export", LENET, "-w", WEIGHTS, "-o", "m.onnx", "--no-verify") == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", typed("photos/c.png\n\nphotos/a.png\n"))
    assert run(monkeypatch, "predict", "m.onnx", "-", "--scale", 1 / 256, "--format", "json", "--batch", 1) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["image"] for entry in found] == ["photos/c.png", "photos/a.png"]
    assert found[0]["predictions"][0]["score"] == pytest.approx(scores()[2].max(), abs=1e-6)


def test_bad_images_are_told_and_the_others_done(photos, monkeypatch, capsys):
    Path("photos/b2.jpg").write_text("no image")
    assert run(monkeypatch, "predict", *NET, "none.png", "photos", "--format", "json") == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 3
    assert "error[ND0531]: none.png: cannot read none.png: No such file or directory" in err
    assert "error[ND0513]: photos/b2.jpg: 8 bytes that are no image OpenCV knows" in err


TRAINING = """
layer {{ name: "d" type: "Data" top: "data" top: "label" data_param {{ source: "none" batch_size: 4 }}
  transform_param {{ {transform} }} }}
layer {{ name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "s" type: "Silence" bottom: "label" }}
"""
"""A net that gives the mean of each channel after the transform."""


def test_the_training_nets_own_transform(photos, monkeypatch, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    cv2.imwrite("c.png", pixels)
    transform = "crop_size: 4 scale: 0.5 mean_value: 10 mean_value: 20 mean_value: 30"
    Path("t.prototxt").write_text(TRAINING.format(transform=transform))
    assert run(monkeypatch, "features", "t.prototxt", "c.png", "--blob", "p", "--resize", "6x8", "-o", "f.npz") == 0
    expected = ((pixels[1:5, 2:6].astype(float) - (10, 20, 30)) * 0.5).mean(axis=(0, 1))
    np.testing.assert_allclose(np.load("f.npz")["p"].ravel(), expected, rtol=1e-6)
    arguments = ["--mean", "1", "--scale", "2", "--channel-order", "RGB"]
    assert run(monkeypatch, "features", "t.prototxt", "c.png", "--blob", "p", *arguments, "--resize", "6x8",
               "--shape", "data=?x3x4x4", "-o", "f.npz") == 0  # fmt: skip
    expected = ((pixels[1:5, 2:6, ::-1].astype(float) - 1) * 2).mean(axis=(0, 1))
    np.testing.assert_allclose(np.load("f.npz")["p"].ravel(), expected, rtol=1e-6)


def blobs_by_hand() -> dict[str, np.ndarray]:
    net = load_net(LENET)
    module = build(net, WEIGHTS)
    kept = {}
    module.get_submodule("conv1").register_forward_hook(lambda m, i, o: kept.update(conv1=o.detach().numpy()))
    pixels = np.stack([cv2.imread(f"photos/{name}.png", cv2.IMREAD_GRAYSCALE) for name in "abc"])
    kept["prob"] = module(data=torch.from_numpy(pixels[:, None].astype(np.float32) / 256))["prob"].detach().numpy()
    return kept


@pytest.mark.parametrize("name", ["f.npz", "f.h5"])
def test_features_in_a_file(photos, monkeypatch, capsys, name):
    arguments = [*NET, "photos", "--blob", "conv1", "--blob", "prob", "--batch", 2, "-o", name]
    assert run(monkeypatch, "features", *arguments) == 0
    assert capsys.readouterr().out == f"{name}: 3 images\n"
    with np.load(name) if name == "f.npz" else h5py.File(name) as file:
        names = [each.decode() if isinstance(each, bytes) else each for each in file["images"][()]]
        assert names == [f"photos/{each}.png" for each in "abc"]
        for blob, expected in blobs_by_hand().items():
            np.testing.assert_allclose(file[blob][()], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("blobs", [["conv1"], ["conv1", "prob"]], ids=["one", "two"])
def test_features_in_lmdb(photos, monkeypatch, capsys, blobs):
    chosen = [part for blob in blobs for part in ("--blob", blob)]
    assert run(monkeypatch, "features", *NET, "photos", *chosen, "-o", "f.lmdb") == 0
    for blob in blobs:
        path = "f.lmdb" if len(blobs) == 1 else f"f.{blob}.lmdb"
        with lmdb.open(path, readonly=True, lock=False) as env, env.begin() as transaction:
            records = list(transaction.cursor())
        expected = blobs_by_hand()[blob]
        assert [key for key, _ in records] == [b"0000000000", b"0000000001", b"0000000002"]
        for (_, value), row in zip(records, expected, strict=True):
            datum = Datum.FromString(value)
            assert (datum.channels, datum.height, datum.width) == (*row.shape, 1, 1)[:3]
            np.testing.assert_allclose(datum.float_data, row.ravel(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["predict", "none.prototxt", "photos"], 1, "ND0010", id="no such net"),
        pytest.param(["predict", "none.onnx", "photos"], 1, "ND0910", id="no such model"),
        pytest.param(["predict", "photos/a.png.onnx", "photos"], 1, "ND0910", id="a model that is none"),
        pytest.param(["predict", *NET], 2, "IMAGES", id="no images"),
        pytest.param(["predict", *NET, "photos", "--resize", "8x"], 2, "is neither HxW", id="half a size"),
        pytest.param(["predict", *NET, "photos", "--resize", "8x8"], 1, "ND0953", id="too small"),
        pytest.param(["predict", *NET, "photos", "--crops", "10"], 1, "--resize 32x32", id="ten crops alike"),
        pytest.param(["predict", *NET, "photos", "--mean", "none.npy"], 1, "ND0501", id="no such mean"),
        pytest.param(["predict", *NET, "photos", "--blob", "pro"], 1, 'did you mean "prob"', id="no such blob"),
        pytest.param(["predict", *NET, "photos", "--blob", "conv1"], 1, "ND0954", id="no scores"),
        pytest.param(["predict", *NET, "photos", "--labels", "none.txt"], 1, "ND0956", id="no such labels"),
        pytest.param(["predict", "m.onnx", "photos", "-w", WEIGHTS], 2, "goes with a prototxt", id="weights twice"),
        pytest.param(["predict", "m.onnx", "photos", "--backend", "torch"], 2, "torch cannot run", id="torch and onnx"),
        pytest.param(["predict", *NET, "empty"], 1, "ND0955", id="a folder without images"),
        pytest.param(["predict", *NET, "-"], 1, "ND0955", id="an empty list"),
        pytest.param(["features", *NET, "photos", "--blob", "ip1", "-o", "f.txt"], 1, "ND0958", id="another form"),
        pytest.param(["features", *NET, "photos", "--blob", "ip1", "-o", "none/f.npz"], 3, "ND0581", id="no folder"),
        pytest.param(["features", *NET, "photos", "--blob", "ip1", "-o", "none/f.h5"], 3, "ND0581", id="no folder, h5"),
        pytest.param(["features", *NET, "photos", "--blob", "ip1", "-o", "old.lmdb"], 1, "ND0580", id="there already"),
        pytest.param(
            ["features", *NET, "photos", "--blob", "prob", "--blob", "prob/x", "-o", "f.h5"],
            1,
            "ND0954",
            id="no blob, h5",
        ),
        pytest.param(["features", *NET, "none.png", "--blob", "ip1", "-o", "f.npz"], 1, "ND0504", id="no image at all"),
    ],
)
def test_exit_codes(photos, monkeypatch, capsys, arguments, code, says):
    for name in ("empty", "old.lmdb"):
        Path(name).mkdir()
    Path("photos/a.png.onnx").write_text("nothing")
    monkeypatch.setattr(sys, "stdin", typed("\n"))
    assert run(monkeypatch, *arguments) == code
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in out + err
    assert {path.name for path in Path().iterdir()} == {"empty", "old.lmdb", "photos"}


def test_names_that_are_no_text(photos, monkeypatch, capsys):
    name = b"photos/\xff.png"
    Path(os.fsdecode(name)).write_bytes(Path("photos/a.png").read_bytes())
    for form in ("text", "json", "csv"):
        assert run(monkeypatch, "predict", *NET, "photos", "--format", form) == 0
    assert capsys.readouterr().out.count("photos/\N{REPLACEMENT CHARACTER}.png") > 2
    assert run(monkeypatch, "features", *NET, "photos", "--blob", "prob", "-o", "f.h5") == 0
    with h5py.File("f.h5") as file:
        assert file["images"][()].tolist()[3] == name


@pytest.mark.parametrize(("blobs", "clash"), [(("images",), '"images" and "images"'), (("a", "a/b"), '"a" and "a/b"')])
def test_names_that_clash_in_one_file(tmp_path, blobs, clash):
    row = {blob: np.zeros(2, np.float32) for blob in blobs}
    with pytest.raises(BadData, match=clash) as fault:
        write_features(tmp_path / "f.h5", [(Path("a.png"), row)], blobs)
    assert fault.value.code == "ND0958"
    assert write_features(tmp_path / "f.lmdb", [(Path("a.png"), row)], blobs)[0] == 1


def test_a_blob_may_have_any_name_in_npz(tmp_path):
    row = {"file": np.arange(2, dtype=np.float32), "m/out": np.ones((1, 2), np.float32)}
    write_features(tmp_path / "f.npz", [(Path("a.png"), row), (Path("b.png"), row)], ("file", "m/out"))
    with np.load(tmp_path / "f.npz") as file:
        assert sorted(file) == ["file", "images", "m/out"]
        assert file["images"].tolist() == ["a.png", "b.png"]
        assert file["file"].tolist() == [[0, 1], [0, 1]]


PLANES = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Pooling" bottom: "x" top: "conv" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "p" type: "Pooling" bottom: "conv" top: "p" pooling_param { pool: AVE global_pooling: true } }
"""


def test_a_model_for_images_of_any_size(photos, monkeypatch, capsys):
    cv2.imwrite("photos/b.png", np.full((6, 30), 7, np.uint8))
    Path("n.prototxt").write_text(PLANES)
    assert run(monkeypatch, "export", "n.prototxt", "-o", "m.onnx", "--spatial", "dynamic") == 0
    capsys.readouterr()
    assert run(monkeypatch, "predict", "m.onnx", "photos/b.png", "--scale", 2, "--format", "json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["predictions"][0]["score"] == 14.0
    features = ["features", "m.onnx", "photos", "--blob", "conv"]
    for name in ("f.npz", "f.h5"):
        assert run(monkeypatch, *features, "-o", name) == 1
        err = capsys.readouterr().err
        assert "error[ND0958]" in err
        assert 'blob "conv" is 1x3x15 for photos/b.png, and 1x14x14 for the first image' in err
        assert not Path(name).exists()
    assert run(monkeypatch, *features, "-o", "f.npz", "--resize", 8) == 0
    assert np.load("f.npz")["conv"].shape == (3, 1, 4, 4)
    assert run(monkeypatch, *features, "-o", "f.lmdb") == 0
    with lmdb.open("f.lmdb", readonly=True) as database, database.begin() as transaction:
        records = [Datum.FromString(value) for _, value in transaction.cursor()]
    assert [(record.height, record.width) for record in records] == [(14, 14), (3, 15), (14, 14)]
