"""`netdef export --preprocess --top-k --labels`: a model for a camera's images, against arithmetic by hand."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from netdef.cli import main
from netdef.deploy import export, replay, runtime
from netdef.deploy.around import Around
from netdef.deploy.pictures import Recipe, mean_values
from netdef.diagnostics import NetdefError, RunError, Source
from netdef.graph import Options, load
from netdef.ir import Graph
from tests.golden_cases import GOLDEN

NET = GOLDEN / "nets/inception"
WEIGHTS = (NET / "weights.caffemodel",)
MEAN = (104.0, 117.0, 123.0)
IMAGES = np.random.default_rng(5).integers(0, 256, (2, 20, 20, 3), np.uint8)
"""RGB, in the size of the net's input."""


@pytest.fixture
def net() -> Graph:
    return load(NET / "net.prototxt", Options(phase="TEST"))


@pytest.fixture
def plain(net, tmp_path):
    """The net's scores for its own input."""
    export(net, tmp_path / "plain.onnx", weights=WEIGHTS, verify=False)
    run = runtime.session(tmp_path / "plain.onnx")
    return lambda rows: run({"data": np.ascontiguousarray(rows, np.float32)})["prob"]


def made(net: Graph, path: Path, around: Around, **options) -> runtime.Session:
    export(net, path, weights=WEIGHTS, around=around, **options)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return runtime.open_session(path)


def props(path: Path) -> dict[str, str]:
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_mean_scale_and_order(net, plain, tmp_path, layout, order):
    recipe = Recipe(None, mean_values(MEAN), 0.017, order)
    session = made(net, tmp_path / "m.onnx", Around(recipe, layout))
    planes = IMAGES.transpose(0, 3, 1, 2).astype(np.float32)
    given = IMAGES if layout == "NHWC" else IMAGES.transpose(0, 3, 1, 2)
    assert dict(session.types) == {"image": "tensor(uint8)"}
    (found,) = session.run({"image": np.ascontiguousarray(given)}).values()
    flipped = planes[:, ::-1] if order == "BGR" else planes
    expected = plain((flipped - np.reshape(MEAN, (3, 1, 1)).astype(np.float32)) * np.float32(0.017))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_images_of_any_size_are_resized_and_cropped(net, plain, tmp_path):
    session = made(net, tmp_path / "m.onnx", Around(Recipe((24, 30), mean_values(MEAN))))
    assert session.inputs["image"] == ("batch", "height", "width", 3)
    smooth = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 256, (70, 90, 3)).astype(np.uint8), (0, 0), 5)
    small = cv2.resize(smooth, (30, 24)).astype(np.float32)[2:22, 5:25, ::-1]
    expected = plain((small - np.float32(MEAN)).transpose(2, 0, 1)[None])
    (found,) = session.run({"image": smooth[None]}).values()
    np.testing.assert_allclose(found, expected, atol=2e-2)  # OpenCV's fixed-point weights can be off by a grey level


@pytest.mark.parametrize("sizes", [(3, 20, 20), (3, 24, 26)], ids=["of the crop", "of the image before the crop"])
def test_a_mean_image(net, plain, tmp_path, sizes):
    mean = np.random.default_rng(4).uniform(90, 130, sizes).astype(np.float32)
    recipe = Recipe((24, 26), mean)
    session = made(net, tmp_path / "m.onnx", Around(recipe))
    image = np.random.default_rng(6).integers(0, 256, (1, 24, 26, 3), np.uint8)
    part = mean if sizes[1] == 20 else mean[:, 2:22, 3:23]
    expected = plain(image[:, 2:22, 3:23, ::-1].transpose(0, 3, 1, 2).astype(np.float32) - part)
    (found,) = session.run({"image": image}).values()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert json.loads(props(tmp_path / "m.onnx")["netdef.preprocess"])["mean"] == "an image"


def test_top_k(net, plain, tmp_path):
    labels = tuple(f"class {i}" for i in range(7))
    session = made(net, tmp_path / "m.onnx", Around(top_k=3, labels=labels))
    rows = np.random.default_rng(8).standard_normal((4, 3, 20, 20), np.float32)
    scores, indices = session.run({"data": rows}).values()
    expected = plain(rows)
    assert session.outputs == ("scores", "indices")
    np.testing.assert_array_equal(indices, np.argsort(-expected, axis=1)[:, :3])
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :3], atol=1e-6)
    assert props(tmp_path / "m.onnx")["netdef.labels"].split("\n") == [*labels]


def test_scores_with_axes_of_one_behind_and_a_blob_called_scores(tmp_path):
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
    layer { name: "scores" type: "Pooling" bottom: "x" top: "scores" pooling_param { global_pooling: true pool: AVE } }
    """
    net = load(Source("net.prototxt", text), Options(phase="TEST"))
    export(net, tmp_path / "m.onnx", around=Around(top_k=2))
    run = runtime.session(tmp_path / "m.onnx")
    x = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    best, indices = run({"x": x}).values()
    assert (best.tolist(), indices.tolist()) == ([[39.5, 23.5]], [[2, 1]])
    assert [info.name for info in onnx.load(tmp_path / "m.onnx").graph.output] == ["scores_1", "indices"]


def test_verify_looks_at_the_net_inside(net, tmp_path):
    report = export(net, tmp_path / "m.onnx", weights=WEIGHTS, around=Around(Recipe((24, 24)), top_k=2))
    assert replay(tmp_path / "m.onnx", net, weights=WEIGHTS) == report.proof
    assert report.pixel_error <= 1


def test_with_a_free_size(net, tmp_path):
    fcn = load(GOLDEN / "nets/fcn/net.prototxt", Options(phase="TEST"))
    path = tmp_path / "m.onnx"
    report = export(fcn, path, around=Around(Recipe(None, mean_values(MEAN))), any_size=True)
    assert report.inputs == {"image": ("batch", "height", "width", 3)}
    with pytest.raises(NetdefError, match=r"ND0921.*--resize fixes it"):
        export(fcn, path, around=Around(Recipe((64, 64))), any_size=True)


@pytest.mark.parametrize(
    ("around", "code", "says"),
    [
        pytest.param(Around(top_k=8), "ND0922", "the best 8 of 7 classes", id="more than there are"),
        pytest.param(Around(labels=("a", "b")), "ND0956", "2 labels for 7 classes", id="labels"),
        pytest.param(Around(Recipe((10, 10))), "ND0953", "smaller than the net's input", id="a crop that is too large"),
        pytest.param(Around(Recipe(mean=mean_values((1, 2)))), "ND0953", "a mean of 2 values", id="a mean"),
    ],
)
def test_what_does_not_fit(net, tmp_path, around, code, says):
    with pytest.raises(NetdefError, match=f"{code}.*{says}"):
        export(net, tmp_path / "m.onnx", around=around, verify=False)
    assert not (tmp_path / "m.onnx").exists()


def test_a_net_that_takes_no_images(tmp_path):
    net = load(GOLDEN / "nets/lstm_caption/net.prototxt", Options(phase="TEST"))
    with pytest.raises(NetdefError, match="ND0921"):
        export(net, tmp_path / "m.onnx", around=Around(Recipe()), verify=False)


def test_an_error_in_the_preparation_is_found(net, tmp_path, monkeypatch):
    module = import_module("netdef.deploy.around")
    real = module.add_camera

    def spoilt(model, camera):
        image = real(model, camera)
        mean = next(tensor for tensor in model.graph.initializer if tensor.name == "preprocess/mean")
        mean.CopyFrom(onnx.numpy_helper.from_array(mean_values((1, 2, 3)), mean.name))
        return image

    monkeypatch.setattr(module, "add_camera", spoilt)
    with pytest.raises(RunError, match=r"ND0908.*the preparation of images"):
        export(net, tmp_path / "m.onnx", weights=WEIGHTS, around=Around(Recipe(mean=mean_values(MEAN))))


TRAIN_VAL = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 8 }
        transform_param { crop_size: 6 mean_value: 10 mean_value: 20 mean_value: 30 scale: 0.5 } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["netdef", "export", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_takes_what_transform_param_says(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("t.prototxt").write_text(TRAIN_VAL)
    Path("labels").write_text("a\nb\nc\nd\ne\n")
    options = ["--shape", "data=8x3x6x6", "--preprocess", "--scale", "0.25", "--top-k", 2, "--labels", "labels"]
    assert command(monkeypatch, "t.prototxt", "-o", "m.onnx", *options) == 0
    out = capsys.readouterr().out
    assert "images are prepared as by `netdef predict`, within 0 grey levels" in out
    assert "image batchx6x6x3 -> scores batchx2, indices batchx2" in out
    told = json.loads(props(Path("m.onnx"))["netdef.preprocess"])
    assert (told["mean"], told["scale"], told["channel_order"]) == ([10, 20, 30], 0.25, "BGR")


@pytest.mark.parametrize("option", [("--mean", "1"), ("--resize", "9"), ("--channel-order", "RGB")], ids=lambda o: o[0])
def test_options_that_need_preprocess(monkeypatch, capsys, option):
    assert command(monkeypatch, NET / "net.prototxt", "-o", "m.onnx", *option) == 2
    assert "goes with --preprocess" in capsys.readouterr().err


def test_predict_runs_such_a_model_without_being_told(monkeypatch, capsys, tmp_path):
    """The model tells mean, scale, sizes and labels; the result is that of the net with the same options."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.random.default_rng(1).integers(0, 256, (33, 41, 3), np.uint8))
    Path("labels").write_text("".join(f"class {i}\n" for i in range(7)))
    how = ["--mean", "104,117,123", "--scale", "0.017", "--resize", "24x24"]
    net = [NET / "net.prototxt", "--weights", WEIGHTS[0]]
    assert command(monkeypatch, *net, "-o", "m.onnx", "--preprocess", *how, "--top-k", 2, "--labels", "labels") == 0
    capsys.readouterr()
    found = []
    for arguments in (["m.onnx", "a.png"], [*net, *how, "--labels", "labels", "a.png"]):
        monkeypatch.setattr(sys, "argv", ["netdef", "predict", *map(str, arguments), "--format", "json"])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        found.append(json.loads(capsys.readouterr().out)[0]["predictions"])
    assert [guess["label"] for guess in found[0]] == [guess["label"] for guess in found[1]]
    assert [guess["score"] for guess in found[0]] == pytest.approx([guess["score"] for guess in found[1]], abs=1e-5)
