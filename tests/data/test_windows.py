"""Are windows cut as Caffe's WindowData layer cuts them?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from netdef.data.source import open_source
from netdef.data.windows import Cut, Window, place
from netdef.layers.data import Transform, WindowData
from tests.data.build import Refused

IMAGE = np.random.default_rng(4).integers(0, 256, (8, 8, 3)).astype(np.uint8)
# By hand from window_data_layer.cpp: image 8x8, crop 4.
PLACES = {
    # No context: the window itself, warped to the crop.
    "plain": ((1, 2, 6, 4), 0, False, False, Cut(slice(2, 5), slice(1, 7), (4, 4), 0, 0)),
    # Half 2, centre 2, twice as large: -2 to 6 is 9 long, 7 inside, 7 * 4 / 9 = 3.1, 2 * 4 / 9 = 0.9.
    "context beyond the corner": ((0, 0, 3, 3), 1, False, False, Cut(slice(0, 7), slice(0, 7), (3, 3), 1, 1)),
    # The padding is on the other side after the flip.
    "flipped": ((0, 0, 3, 3), 1, False, True, Cut(slice(0, 7), slice(0, 7), (3, 3), 1, 0)),
    # 6x2 made 6x6 around (4, 3): rows 0 to 6, columns 1 to 7.
    "square": ((1, 2, 6, 3), 0, True, False, Cut(slice(0, 7), slice(1, 8), (4, 4), 0, 0)),
}


@pytest.mark.parametrize(("box", "pad", "square", "flip", "expected"), PLACES.values(), ids=PLACES)
def test_place(box: Any, pad: int, square: bool, flip: bool, expected: Cut) -> None:
    assert place(Window("", 1, 1.0, *box), (8, 8), 4, pad, square, flip) == expected


def layer_of(folder: Path, text: str, **fields: Any) -> WindowData:
    cv2.imwrite(str(folder / "a.png"), IMAGE)
    (folder / "windows.txt").write_text(text)
    defaults: dict[str, Any] = {
        "batch_size": 4,
        "crop_size": 4,
        "fg_threshold": 0.5,
        "bg_threshold": 0.3,
        "fg_fraction": 0.25,
        "context_pad": 0,
        "crop_mode": "warp",
        "cache_images": False,
        "transform": Transform(scale=0.5, mean_values=(10.0, 20.0, 30.0)),
    }
    return WindowData(source=str(folder / "windows.txt"), root_folder=f"{folder}/", **{**defaults, **fields})


TEXT = "# 0\na.png\n3 8 8\n3\n7 0.9 0 0 3 3\n4 0.1 4 4 7 7\n5 0.4 0 0 7 7\n"


@pytest.mark.parametrize("cache", [False, True])
def test_background_comes_first(cache: bool, tmp_path: Path) -> None:
    images, labels = open_source(layer_of(tmp_path, TEXT, cache_images=cache), phase="TRAIN").next_batch()
    assert labels.tolist() == [0, 0, 0, 7]
    values = (IMAGE.transpose(2, 0, 1).astype(np.float32) - np.float32([[[10]], [[20]], [[30]]])) * np.float32(0.5)
    np.testing.assert_array_equal(images, np.stack([values[:, 4:, 4:]] * 3 + [values[:, :4, :4]]))


def test_what_is_beyond_the_image_is_zero(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, TEXT, context_pad=1, fg_fraction=1.0)
    images, labels = open_source(layer, phase="TRAIN").next_batch()
    assert labels.tolist() == [7] * 4
    assert not images[:, :, 0].any()
    assert not images[:, :, :, 0].any()
    part = cv2.resize(IMAGE[:7, :7], (3, 3)).transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(images[0, :, 1:, 1:], (part - np.float32([[[10]], [[20]], [[30]]])) * np.float32(0.5))


BAD = {
    "no mark": ("0 a.png", "ND0533"),
    "broken off": ("# 0 a.png 3 8 8 2 7 0.9 0 0", "ND0533"),
    "a word": ("# 0 a.png 3 8 8 1 cat 0.9 0 0 3 3", "ND0533"),
    "outside": (TEXT.replace("0 0 3 3", "20 20 23 23"), "ND0533"),
    "no background": ("# 0 a.png 3 8 8 1 7 0.9 0 0 3 3", "ND0504"),
    "no such image": (TEXT.replace("a.png", "b.png"), "ND0531"),
}


@pytest.mark.parametrize(("text", "code"), BAD.values(), ids=BAD)
def test_refuses(text: str, code: str, tmp_path: Path) -> None:
    layer = layer_of(tmp_path, text)
    with Refused(code):
        open_source(layer, phase="TRAIN").next_batch()
