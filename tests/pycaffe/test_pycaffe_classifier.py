"""Do Classifier and Detector score what a net of their own scores?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import netdef.pycaffe as caffe
from netdef import NetdefError

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
RNG = np.random.default_rng(0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "deploy.prototxt").write_text(NET)
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    net.save(str(tmp_path / "w.caffemodel"))
    return str(tmp_path / "deploy.prototxt"), str(tmp_path / "w.caffemodel")


def scores(files: tuple[str, str], images: Any) -> Any:
    """What the net says of images (N x H x W x 3, RGB, 0 to 1) as BGR pixels from -128 to 127."""
    net = caffe.Net(*files, caffe.TEST)
    rows = np.asarray(images)[..., ::-1].transpose(0, 3, 1, 2) * 255 - 128
    return net.forward_all(data=rows.astype(np.float32))["prob"]


def settings() -> dict[str, Any]:
    return {"mean": np.full(3, 128.0), "raw_scale": 255, "channel_swap": (2, 1, 0)}


def test_centre_crop(files: tuple[str, str]) -> None:
    net = caffe.Classifier(*files, image_dims=(8, 8), **settings())
    images = RNG.random((6, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(net.predict(images, False), scores(files, images[:, 1:7, 1:7]), rtol=1e-4)


def test_ten_crops(files: tuple[str, str]) -> None:
    net = caffe.Classifier(*files, image_dims=(8, 8), **settings())
    images = list(RNG.random((2, 8, 8, 3)).astype(np.float32))
    expected = scores(files, caffe.io.oversample(images, (6, 6))).reshape(2, 10, 5).mean(1)
    np.testing.assert_allclose(net.predict(images), expected, rtol=1e-4)


def test_windows(files: tuple[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "image.png")
    pixels = RNG.integers(0, 256, (20, 20, 3), np.uint8)
    assert cv2.imwrite(path, pixels[..., ::-1])
    net = caffe.Detector(*files, **settings())
    windows = [(2, 3, 8, 9), (10, 10, 16, 16)]
    found = net.detect_windows([(path, windows)])
    assert [one["window"] for one in found] == windows
    assert found[0]["filename"] == path
    crops = [pixels[top:bottom, left:right] / 255 for top, left, bottom, right in windows]
    np.testing.assert_allclose([one["prediction"] for one in found], scores(files, crops), rtol=1e-4)


def test_context_beyond_the_border_is_the_mean(files: tuple[str, str]) -> None:
    """A window of 3 x 3 in the corner, of which 1 pixel a side of the crop's 6 is context: the image's first pixel
    lies at row and column 1 and what is before it is the mean."""
    net = caffe.Detector(*files, context_pad=1, **settings())
    crop = net.crop(np.ones((20, 20, 3), np.float32), (0, 0, 3, 3))
    assert crop.shape == (6, 6, 3)
    np.testing.assert_allclose(crop[0], 128 / 255, rtol=1e-6)
    np.testing.assert_allclose(crop[:, 0], 128 / 255, rtol=1e-6)
    np.testing.assert_allclose(crop[1:, 1:], 1)


def test_errors(files: tuple[str, str]) -> None:
    net = caffe.Detector(*files, context_pad=1)
    with pytest.raises(NetdefError) as caught:
        net.crop(np.ones((20, 20, 3), np.float32), (100, 100, 103, 103))
    assert caught.value.diagnostics[0].code == "ND1015"
    with pytest.raises(NetdefError) as caught:
        net.detect_selective_search(["x.png"])
    assert caught.value.diagnostics[0].code == "ND1001"
    assert net.detect_windows([]) == []
