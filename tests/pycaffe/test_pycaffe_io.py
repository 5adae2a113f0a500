"""Do images and arrays get the numbers that scripts expect of caffe.io?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import netdef.pycaffe as caffe
from netdef import NetdefError
from netdef.pycaffe.proto import caffe_pb2

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 5, 3), np.uint8)
"""RGB."""


@pytest.mark.parametrize(
    ("stored", "color", "expected"),
    [
        (PIXELS[:, :, ::-1], True, PIXELS / 255),
        (PIXELS[:, :, ::-1], False, (PIXELS / 255) @ [[0.2125], [0.7154], [0.0721]]),
        (PIXELS[:, :, 0], True, np.repeat(PIXELS[:, :, :1], 3, 2) / 255),
        (PIXELS[:, :, 0], False, PIXELS[:, :, :1] / 255),
        (np.dstack([PIXELS[:, :, ::-1], PIXELS[:, :, 0]]), True, PIXELS / 255),
        (PIXELS[:, :, ::-1].astype(np.uint16) * 257, True, PIXELS / 255),
    ],
    ids=["rgb", "rgb as grey", "grey as rgb", "grey", "transparent", "16 bits"],
)
def test_load_image(tmp_path: Path, stored: Any, color: bool, expected: Any) -> None:
    path = tmp_path / "image.png"
    assert cv2.imwrite(str(path), stored)
    found = caffe.io.load_image(str(path), color)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def linear(image: Any, height: int, width: int) -> Any:
    """Bilinear interpolation between the centres of pixels, spelled out."""
    out = np.zeros((height, width, image.shape[2]))
    for i, j in np.ndindex(height, width):
        y = np.clip((i + 0.5) * image.shape[0] / height - 0.5, 0, image.shape[0] - 1)
        x = np.clip((j + 0.5) * image.shape[1] / width - 0.5, 0, image.shape[1] - 1)
        y0, x0 = int(y), int(x)
        y1, x1 = min(y0 + 1, image.shape[0] - 1), min(x0 + 1, image.shape[1] - 1)
        rows = image[[y0, y1]] * np.array([1 - (y - y0), y - y0])[:, None, None]
        out[i, j] = rows[:, x0].sum(0) * (1 - (x - x0)) + rows[:, x1].sum(0) * (x - x0)
    return out


@pytest.mark.parametrize("sizes", [(12, 10), (3, 4), (6, 5), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_linear_between_pixel_centres(sizes: tuple[int, int], channels: int) -> None:
    image = PIXELS[:, :, :channels] / 255
    found = caffe.io.resize_image(image, sizes)
    np.testing.assert_allclose(found, linear(image, *sizes), atol=1e-5)


def test_resize_of_other_channels_keeps_the_corners() -> None:
    image = RNG.normal(size=(4, 5, 7)).astype(np.float32)
    found = caffe.io.resize_image(image, (7, 9))
    assert found.shape == (7, 9, 7)
    np.testing.assert_allclose(found[::2, ::2], image, atol=1e-6)
    np.testing.assert_allclose(found[1, 0], (image[0, 0] + image[1, 0]) / 2, atol=1e-6)


def test_oversample() -> None:
    image = np.arange(6 * 8, dtype=np.float32).reshape(6, 8, 1)
    crops = caffe.io.oversample([image], (3, 4))
    assert crops.shape == (10, 3, 4, 1)
    corners = [image[:3, :4], image[:3, 4:], image[3:, :4], image[3:, 4:], image[1:4, 2:6]]
    np.testing.assert_array_equal(crops[:5], corners)
    np.testing.assert_array_equal(crops[5:], [corner[:, ::-1] for corner in corners])


def transformer() -> caffe.io.Transformer:
    made = caffe.io.Transformer({"data": (10, 3, 6, 5)})
    made.set_transpose("data", (2, 0, 1))
    made.set_channel_swap("data", (2, 1, 0))
    made.set_raw_scale("data", 255)
    made.set_mean("data", np.array([104.0, 117.0, 123.0]))
    made.set_input_scale("data", 0.5)
    return made


def test_preprocess_is_what_caffenet_expects() -> None:
    image = (PIXELS / 255).astype(np.float32)
    kept = image.copy()
    found = transformer().preprocess("data", image)
    expected = (PIXELS[:, :, ::-1].transpose(2, 0, 1).astype(float) - np.reshape([104, 117, 123], (3, 1, 1))) * 0.5
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_array_equal(image, kept)


def test_deprocess_is_the_way_back() -> None:
    image = (PIXELS / 255).astype(np.float32)
    made = transformer()
    for batch in (False, True):
        data = made.preprocess("data", image)
        np.testing.assert_allclose(made.deprocess("data", data[None] if batch else data), image, atol=1e-6)


def test_preprocess_resizes() -> None:
    found = transformer().preprocess("data", np.ones((12, 10, 3), np.float32))
    np.testing.assert_allclose(found, (255 - np.reshape([104, 117, 123], (3, 1, 1)) * np.ones((3, 6, 5))) / 2)


def test_a_mean_image_is_resized() -> None:
    made = caffe.io.Transformer({"data": (1, 3, 3, 4)})
    mean = RNG.normal(size=(3, 6, 8)).astype(np.float32)
    made.set_mean("data", mean)
    np.testing.assert_allclose(made.mean["data"], linear(mean.transpose(1, 2, 0), 3, 4).transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("array", [PIXELS.transpose(2, 0, 1), RNG.normal(size=(2, 3, 4))], ids=["bytes", "floats"])
def test_datum_round_trip(array: Any) -> None:
    datum = caffe_pb2.Datum.FromString(caffe.io.array_to_datum(array, 7).SerializeToString())
    assert datum.label == 7
    assert bool(datum.data) == (array.dtype == np.uint8)
    np.testing.assert_allclose(caffe.io.datum_to_array(datum), array, rtol=1e-6)


def test_blobproto_round_trip() -> None:
    array, diff = RNG.normal(size=(2, 2, 3, 4, 5))
    blob = caffe.io.array_to_blobproto(array, diff)
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob), array, rtol=1e-6)
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob, return_diff=True), diff, rtol=1e-6)
    old = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    assert caffe.io.blobproto_to_array(old).shape == (1, 2, 1, 3)
    vector = caffe.io.arraylist_to_blobprotovector_str([array, array[0]])
    found = caffe.io.blobprotovector_str_to_arraylist(vector)
    assert [a.shape for a in found] == [array.shape, array[0].shape]


ERRORS: dict[str, tuple[str, Callable[[], object]]] = {
    "no image": ("ND0010", lambda: caffe.io.load_image("nowhere.png")),
    "not an image": ("ND1010", lambda: caffe.io.load_image(__file__)),
    "order": ("ND1010", lambda: caffe.io.resize_image(PIXELS, (2, 2), 4)),
    "order of many channels": ("ND1010", lambda: caffe.io.resize_image(np.zeros((2, 2, 5)), (3, 3), 3)),
    "datum": ("ND1011", lambda: caffe.io.array_to_datum(np.zeros((2, 2)))),
    "no such input": ("ND1011", lambda: transformer().preprocess("image", PIXELS)),
    "axes": ("ND1011", lambda: transformer().set_transpose("data", (1, 0))),
    "channels": ("ND1011", lambda: transformer().set_channel_swap("data", (1, 0))),
    "mean of channels": ("ND1011", lambda: transformer().set_mean("data", np.zeros(4))),
    "mean image": ("ND1011", lambda: transformer().set_mean("data", np.zeros((2, 6, 5)))),
}


@pytest.mark.parametrize(("code", "call"), ERRORS.values(), ids=ERRORS)
def test_errors(code: str, call: Callable[[], object]) -> None:
    with pytest.raises(NetdefError) as caught:
        call()
    assert caught.value.diagnostics[0].code == code
