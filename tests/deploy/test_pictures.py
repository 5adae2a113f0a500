"""Do image files become a net's input as Caffe's transforms would make it?"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from netdef.data.faults import BadData
from netdef.data.mean import encode_mean
from netdef.deploy.pictures import Preparation, Recipe, find_images, load_mean, mean_values, read_ahead, recipe_of
from tests.graph.compiling import graph


def picture(path: Path, height: int, width: int, channels: int = 3, seed: int = 0) -> Path:
    sizes = (height, width, channels) if channels > 1 else (height, width)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, sizes, np.uint8))
    return path


def naive(pixels: np.ndarray, mean: np.ndarray, scale: float, top: int, left: int, sizes) -> np.ndarray:
    """One crop, value by value: data_transformer.cpp's loop. `pixels` and `mean` are (H, W, C)."""
    channels, height, width = sizes
    row = np.empty(sizes, np.float32)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                value = np.float32(pixels[top + y, left + x, c])
                row[c, y, x] = (value - np.float32(mean[top + y, left + x, c])) * np.float32(scale)
    return row


@pytest.mark.parametrize("order", ["BGR", "RGB"])
def test_middle_crop(tmp_path, order):
    path = picture(tmp_path / "a.png", 40, 50)
    recipe = Recipe((20, 24), mean_values([104, 117, 123.5]), 0.017, order)
    (row,) = Preparation(recipe, (3, 13, 16)).read(path)
    pixels = cv2.resize(cv2.imread(str(path)), (24, 20))
    pixels = pixels[:, :, ::-1] if order == "RGB" else pixels
    mean = np.broadcast_to(np.array([104, 117, 123.5]), pixels.shape)
    np.testing.assert_array_equal(row, naive(pixels, mean, 0.017, 3, 4, (3, 13, 16)))


@pytest.mark.parametrize("shape", [(3, 20, 24), (3, 13, 16)], ids=["before the crop", "of the net's size"])
def test_mean_image(tmp_path, shape):
    path = picture(tmp_path / "a.png", 20, 24)
    mean = np.random.default_rng(1).uniform(90, 130, shape).astype(np.float32)
    (row,) = Preparation(Recipe((20, 24), mean), (3, 13, 16)).read(path)
    full = np.zeros((20, 24, 3), np.float32)
    if shape[1] == 20:
        full = mean.transpose(1, 2, 0)
    else:
        full[3:16, 4:20] = mean.transpose(1, 2, 0)
    np.testing.assert_array_equal(row, naive(cv2.imread(str(path)), full, 1.0, 3, 4, (3, 13, 16)))


def test_gray(tmp_path):
    path = picture(tmp_path / "a.png", 9, 11)
    (row,) = Preparation(Recipe(), (1, 9, 11)).read(path)
    np.testing.assert_array_equal(row[0], cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def test_ten_crops(tmp_path):
    path = picture(tmp_path / "a.png", 9, 12)
    rows = Preparation(Recipe((9, 12), crops=10), (3, 5, 6)).read(path)
    pixels = cv2.imread(str(path)).astype(np.float32)
    cut = [pixels[y : y + 5, x : x + 6] for y, x in ((0, 0), (0, 6), (4, 0), (4, 6), (2, 3))]
    expected = [*cut, *(cv2.flip(part, 1) for part in cut)]
    np.testing.assert_array_equal(rows, [part.transpose(2, 0, 1) for part in expected])


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        pytest.param(Recipe((10, 30)), "images of 10x30 are smaller than the net's input, 3x20x20", id="small"),
        pytest.param(Recipe(crops=10), "ten crops of 20x20 out of images of the same size", id="ten alike"),
        pytest.param(Recipe(mean=mean_values([1, 2])), "a mean of 2 values fits neither 3 channels", id="two values"),
        pytest.param(Recipe(mean=np.zeros((3, 9, 9), np.float32)), "a mean of 3x9x9 fits neither", id="another size"),
    ],
)
def test_what_does_not_fit(recipe, says):
    with pytest.raises(BadData) as fault:
        Preparation(recipe, (3, 20, 20))
    assert fault.value.code == "ND0953"
    assert fault.value.message.startswith(says)


TAIL = 'layer { name: "s" type: "Silence" bottom: "data" bottom: "label" }'


@pytest.mark.parametrize(
    ("layer", "resize", "mean", "scale"),
    [
        pytest.param(
            'type: "Data" data_param { source: "x" batch_size: 1 }'
            " transform_param { scale: 0.5 mean_value: 7 crop_size: 4 }",
            None, [[[7]]], 0.5, id="Data",
        ),
        pytest.param(
            'type: "ImageData" image_data_param { source: "x" batch_size: 1 new_height: 5 new_width: 6 }',
            (5, 6), None, 1.0, id="ImageData",
        ),
        pytest.param(
            'type: "Data" data_param { source: "x" batch_size: 1 } transform_param { mean_file: "m.binaryproto" }',
            (2, 3), np.arange(6).reshape(1, 2, 3).tolist(), 1.0, id="a mean image tells the size",
        ),
    ],
)  # fmt: skip
def test_recipe_of_a_training_net(tmp_path, layer, resize, mean, scale):
    (tmp_path / "m.binaryproto").write_bytes(encode_mean(np.arange(6, dtype=np.float32).reshape(1, 2, 3)))
    recipe = recipe_of(graph(f'layer {{ name: "d" top: "data" top: "label" {layer} }} {TAIL}'), tmp_path)
    assert (recipe.resize, recipe.scale, recipe.order) == (resize, scale, "BGR")
    assert (None if recipe.mean is None else recipe.mean.tolist()) == mean


def test_mean_files(tmp_path):
    image = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    np.save(tmp_path / "image.npy", image)
    np.save(tmp_path / "values.npy", np.array([1.0, 2.0, 3.0]))
    (tmp_path / "image.binaryproto").write_bytes(encode_mean(image))
    assert load_mean(tmp_path / "image.npy").tolist() == load_mean(tmp_path / "image.binaryproto").tolist()
    assert load_mean(tmp_path / "values.npy").tolist() == [[[1]], [[2]], [[3]]]


@pytest.mark.parametrize("content", [b"", b"nonsense", None], ids=["empty", "no array", "missing"])
def test_mean_file_that_is_none(tmp_path, content):
    path = tmp_path / "m.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadData) as fault:
        load_mean(path)
    assert fault.value.code == "ND0521"


def test_folders_are_searched_in_order_and_files_taken_as_they_are(tmp_path):
    for name in ("b.png", "a.JPG", "sub/c.bmp", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    found = find_images([str(tmp_path / "note.txt"), str(tmp_path)])
    assert [path.name for path in found] == ["note.txt", "a.JPG", "b.png", "c.bmp"]
    with pytest.raises(BadData) as fault:
        find_images([str(tmp_path / "empty")])
    assert fault.value.code == "ND0955"


def test_reading_ahead_keeps_order_and_goes_on_after_a_bad_file(tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    paths = [picture(tmp_path / f"{i}.png", 4, 4, seed=i) for i in range(7)]
    paths[3:3] = [tmp_path / "bad.png", tmp_path / "none.png"]
    found = list(read_ahead(paths, Preparation(Recipe(), (3, 4, 4)), ahead=2))
    assert [path for path, _ in found] == paths
    assert {path.name: row.code for path, row in found if isinstance(row, BadData)} == {
        "bad.png": "ND0513",
        "none.png": "ND0531",
    }
    for path, row in found:
        if not isinstance(row, BadData):
            np.testing.assert_array_equal(row[0], cv2.imread(str(path)).transpose(2, 0, 1))
