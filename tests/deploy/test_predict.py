"""Does prediction give what ONNX Runtime and torch give on inputs made by hand?"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from netdef.api import build, export_onnx, load_net
from netdef.data.faults import BadData
from netdef.deploy import export
from netdef.deploy.pictures import Preparation, Recipe, mean_values
from netdef.deploy.predict import Guess, best, read_labels, rows, scores_of
from netdef.deploy.runner import Runner, open_net, open_onnx
from netdef.diagnostics import NetdefError
from netdef.graph.deploy import deploy
from tests.golden_cases import GOLDEN

LENET, WEIGHTS = GOLDEN / "nets/lenet/net.prototxt", GOLDEN / "nets/lenet/weights.caffemodel"
MEAN, SCALE = 30.0, 1 / 128


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(3)
    paths = [folder / f"{index}.png" for index in range(5)]
    for path in paths:
        cv2.imwrite(str(path), generator.integers(0, 256, (28, 28), np.uint8))
    return paths


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "lenet.onnx"
    export_onnx(load_net(LENET), path, WEIGHTS, verify=False)
    return path


def by_hand(images: list[Path]) -> np.ndarray:
    pixels = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) for path in images]
    return ((np.stack(pixels) - MEAN) * np.float32(SCALE))[:, None]


def runner_of(backend: str, model: Path, blobs: tuple[str, ...] = ()) -> Runner:
    if backend == "file":
        return open_onnx(model, blobs)
    return open_net(load_net(LENET), [WEIGHTS], blobs, backend)


PREPARATION = Preparation(Recipe(mean=mean_values([MEAN]), scale=SCALE), (1, 28, 28))
BACKENDS = pytest.mark.parametrize("backend", ["file", "onnx", "torch"])


@BACKENDS
@pytest.mark.parametrize("batch", [1, 2, 32])
def test_predictions_are_those_of_plain_onnx_runtime(images, model, backend, batch):
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"data": by_hand(images)})
    found = list(rows(runner_of(backend, model), PREPARATION, images, batch=batch))
    assert [path for path, _ in found] == images
    np.testing.assert_allclose([row["prob"] for _, row in found], expected, rtol=0, atol=1e-6)


@BACKENDS
def test_inner_blobs_are_those_of_torch(images, model, backend):
    net = load_net(LENET)
    module = build(net, WEIGHTS)
    layers = dict(module.named_modules())
    kept = {}
    layers["conv2"].register_forward_hook(lambda m, i, o: kept.update(conv2=o.numpy()))
    with torch.no_grad():
        module(data=torch.from_numpy(by_hand(images)))
    runner = runner_of(backend, model, ("conv2", "ip1"))
    assert runner.outputs == ("conv2", "ip1")
    found = [row for _, row in rows(runner, PREPARATION, images)]
    assert found[0]["ip1"].shape == (24,)
    np.testing.assert_allclose([row["conv2"] for row in found], kept["conv2"], rtol=0, atol=1e-5)


def test_ten_crops_are_averaged(images, model):
    runner = open_onnx(model)
    recipe = Recipe((32, 32), crops=10)
    preparation = Preparation(recipe, (1, 28, 28))
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    found = [row["prob"] for _, row in rows(runner, preparation, images, batch=2)]
    for path, row in zip(images, found, strict=True):
        pixels = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (32, 32)).astype(np.float32)
        cut = [pixels[y : y + 28, x : x + 28] for y, x in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))]
        crops = np.stack([*cut, *(part[:, ::-1] for part in cut)])[:, None]
        (scores,) = session.run(None, {"data": crops})
        np.testing.assert_allclose(row, scores.mean(axis=0), rtol=0, atol=1e-6)


def test_a_model_of_a_fixed_batch_gets_pieces(images, tmp_path):
    export(load_net(LENET), tmp_path / "m.onnx", weights=[WEIGHTS], batch=3, verify=False)
    fixed = open_onnx(tmp_path / "m.onnx")
    assert fixed.batch == 3
    free = open_net(load_net(LENET), [WEIGHTS])
    for size in (1, 3, 5):
        expected = free.run(by_hand(images)[:size])["prob"]
        np.testing.assert_allclose(fixed.run(by_hand(images)[:size])["prob"], expected, rtol=0, atol=1e-6)


def test_a_bad_image_leaves_the_others_alone(images, model, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    mixed = [images[0], tmp_path / "bad.png", *images[1:]]
    alone = [row["prob"] for _, row in rows(open_onnx(model), PREPARATION, images, batch=2)]
    found = [row for _, row in rows(open_onnx(model), PREPARATION, mixed, batch=2)]
    assert isinstance(found[1], BadData)
    np.testing.assert_allclose([row["prob"] for row in (found[0], *found[2:])], alone, rtol=0, atol=1e-6)


def test_a_training_net_runs_in_its_deploy_form(tmp_path):
    (tmp_path / "net.prototxt").write_text("""
        layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 4 } }
        layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
          inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.01 } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" }
    """)
    net = load_net(tmp_path / "net.prototxt", shapes={"data": (4, 3, 5, 6)})
    runner = open_net(net, [], backend="torch")
    assert (runner.sizes, runner.batch, runner.outputs) == ((3, 5, 6), None, ("prob",))
    assert [each.code for each in runner.warnings] == ["ND0912"]
    data = np.random.default_rng(0).uniform(0, 255, (2, 3, 5, 6)).astype(np.float32)
    expected = build(deploy(net), seed=0)(data=torch.from_numpy(data))["prob"].detach().numpy()
    np.testing.assert_allclose(runner.run(data)["prob"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("scores", "labels", "top", "expected"),
    [
        pytest.param([0.1, 0.7, 0.2], (), 2, [(1, "", 0.7), (2, "", 0.2)], id="the best two"),
        pytest.param([0.5, 0.5], ("a", "b"), 5, [(0, "a", 0.5), (1, "b", 0.5)], id="equal ones in order"),
        pytest.param([[[1.0]], [[3.0]]], (), 1, [(1, "", 3.0)], id="C x 1 x 1"),
    ],
)
def test_best(scores, labels, top, expected):
    assert best(np.array(scores), labels, top) == tuple(Guess(*each) for each in expected)


@pytest.mark.parametrize(
    ("scores", "labels", "code"),
    [
        pytest.param(np.zeros((3, 4, 4)), (), "ND0954", id="a map"),
        pytest.param(np.zeros(3), ("a", "b"), "ND0956", id="too few labels"),
        pytest.param(np.array([0.5, np.nan]), (), "ND0959", id="NaN"),
    ],
)
def test_best_refuses(scores, labels, code):
    with pytest.raises(NetdefError) as failure:
        best(scores, labels, 1)
    assert failure.value.diagnostics[0].code == code


def test_labels(tmp_path):
    (tmp_path / "l.txt").write_bytes("n01 tench, Tinca\nein Füllen\n\n".encode())
    assert read_labels(tmp_path / "l.txt") == ("n01 tench, Tinca", "ein Füllen")
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("l.txt", "none.txt"):
        with pytest.raises(NetdefError, match="ND0956"):
            read_labels(tmp_path / name)


def foreign(path: Path, shape: list[int | str], *, inputs: int = 1, kind: int = TensorProto.FLOAT) -> Path:
    """A model that no netdef wrote: its outputs are its inputs."""
    infos = [helper.make_tensor_value_info(f"x{i}", kind, shape) for i in range(inputs)]
    nodes = [helper.make_node("Identity", [f"x{i}"], [f"y{i}"]) for i in range(inputs)]
    outputs = [helper.make_tensor_value_info(f"y{i}", kind, shape) for i in range(inputs)]
    graph = helper.make_graph(nodes, "g", infos, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(
            {"shape": [1, 224, 224, 4]}, "is 1x224x224x4; images are batch x 1 or 3 channels", id="four channels"
        ),
        pytest.param({"shape": ["n", "c", "h", "w"]}, "is nxcxhxw: the size of its images is not known", id="all free"),
        pytest.param({"shape": [1, 3, 4, 4], "inputs": 2}, 'its inputs are "x0", "x1"', id="two inputs"),
        pytest.param({"shape": [1, 3, 4, 4], "kind": TensorProto.INT64}, "is a tensor(int64)", id="whole numbers"),
    ],
)
def test_a_model_that_takes_no_images(tmp_path, arguments, says):
    with pytest.raises(NetdefError) as failure:
        open_onnx(foreign(tmp_path / "m.onnx", **arguments))
    assert failure.value.diagnostics[0].code == "ND0952"
    assert says in failure.value.diagnostics[0].message


def test_a_foreign_model_of_images_runs(tmp_path):
    runner = open_onnx(foreign(tmp_path / "m.onnx", ["n", 3, 2, 2]))
    data = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(runner.run(data)["y0"], data)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        pytest.param(["n", 2, 5, 3], TensorProto.FLOAT, id="channels last"),
        pytest.param(["n", "h", "w", 3], TensorProto.UINT8, id="bytes of any size"),
        pytest.param(["n", 3, 2, 5], TensorProto.UINT8, id="bytes"),
        pytest.param([1, 3, "h", "w"], TensorProto.FLOAT16, id="half precision, one at a time"),
        pytest.param(["n", 3, 2, 5], TensorProto.DOUBLE, id="double precision"),
    ],
)
def test_layouts_and_types_of_other_tools(tmp_path, shape, kind):
    runner = open_onnx(foreign(tmp_path / "m.onnx", shape, kind=kind))
    assert runner.sizes == ((3, None, None) if "h" in shape else (3, 2, 5))
    data = np.arange(60, dtype=np.float32).reshape(2, 3, 2, 5)
    found = runner.run(data)["y0"]
    assert found.dtype == helper.tensor_dtype_to_np_dtype(kind)
    np.testing.assert_array_equal(found, data.transpose(0, 2, 3, 1) if shape[-1] == 3 else data)
    assert runner.takes_bytes is (kind == TensorProto.UINT8)


@pytest.fixture(scope="module")
def fcn(tmp_path_factory) -> Path:
    """A model for images of any size, from 5x5 on: the mean over each plane of a convolution, and the planes."""
    folder = tmp_path_factory.mktemp("fcn")
    (folder / "net.prototxt").write_text("""
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
          convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "xavier" } } }
        layer { name: "p" type: "Pooling" bottom: "conv" top: "p" pooling_param { pool: AVE global_pooling: true } }
    """)
    export_onnx(load_net(folder / "net.prototxt"), folder / "m.onnx", dynamic_size=True, verify=False)
    return folder / "m.onnx"


def test_images_of_any_size_run_as_they_are(fcn, tmp_path):
    generator = np.random.default_rng(0)
    sizes = {"a": (9, 7), "b": (6, 12), "c": (9, 7), "tiny": (3, 9), "d": (6, 12)}
    for name, size in sizes.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), generator.integers(0, 256, (*size, 3), np.uint8))
    paths = [tmp_path / f"{name}.png" for name in sizes]
    runner = open_onnx(fcn, ["conv", "p"])
    assert runner.sizes == (3, None, None)
    preparation = Preparation(Recipe(mean=mean_values([1, 2, 3])), runner.sizes)
    found = dict(rows(runner, preparation, paths, batch=4))
    assert [*found] == paths
    session = onnxruntime.InferenceSession(str(fcn), providers=["CPUExecutionProvider"])
    for path, row in found.items():
        if path.stem == "tiny":
            assert isinstance(row, BadData)
            assert row.code == "ND0960"
            assert f"{path}: the net does not take an image of 3x9" in str(row)
            continue
        pixels = cv2.imread(str(path)).astype(np.float32) - (1, 2, 3)
        (expected,) = session.run(None, {"data": pixels.transpose(2, 0, 1)[None].astype(np.float32)})
        np.testing.assert_allclose(row["p"], expected[0], rtol=0, atol=1e-4)
        assert row["conv"].shape == (4, sizes[path.stem][0] - 4, sizes[path.stem][1] - 4)


def test_a_free_size_takes_no_crops_and_no_picture_for_a_mean():
    free = (3, None, None)
    for recipe in (Recipe(crops=10), Recipe(mean=np.zeros((3, 8, 8), np.float32))):
        with pytest.raises(BadData, match=r"size|free|fit") as caught:
            Preparation(recipe, free)
        assert caught.value.code == "ND0953"
    assert Preparation(Recipe((8, 8), np.zeros((3, 8, 8), np.float32)), free).resized == (8, 8)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        pytest.param(("ip2",), "ip2", id="the only one"),
        pytest.param(("a", "prob"), "prob", id="prob"),
        pytest.param(("a", "b"), None, id="no telling"),
    ],
)
def test_which_output_has_the_scores(outputs, expected):
    runner = Runner((3, 1, 1), None, outputs, "", lambda rows: {})
    if expected:
        assert scores_of(runner) == expected
        return
    with pytest.raises(NetdefError, match=r'ND0954.*several outputs: "a", "b"'):
        scores_of(runner)


@pytest.mark.parametrize("backend", ["file", "onnx"])
def test_an_unknown_blob(model, backend):
    with pytest.raises(NetdefError) as failure:
        runner_of(backend, model, ("ip3", "conv2"))
    (found,) = failure.value.diagnostics
    assert (found.code, found.help) == ("ND0954", ('did you mean "ip1"?',))
