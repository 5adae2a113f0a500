"""What tests of the data floor share: small sources, made without netdef's own writers, and layers as their fields."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import lmdb
import numpy as np
import pytest

from netdef.diagnostics import NetdefError
from netdef.layers.data import Data, HDF5Data, ImageData, Transform
from netdef.schema.netdef_pb2 import Datum


def make_lmdb(path: Path, values: Sequence[bytes]) -> Path:
    """A database with the keys 00000000, 00000001, …"""
    with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for index, value in enumerate(values):
            transaction.put(b"%08d" % index, value)
    return path


def datum(image: Any, label: int = 0) -> bytes:
    """A raw Datum of an image (C, H, W)."""
    image = np.asarray(image)
    channels, height, width = image.shape
    message = Datum(channels=channels, height=height, width=width, label=label)
    if image.dtype == np.uint8:
        message.data = image.tobytes()
    else:
        message.float_data.extend(image.ravel().tolist())
    return message.SerializeToString()


def encoded(image: Any, label: int = 0, form: str = ".png") -> bytes:
    """A Datum of an image file, from an array (H, W) or (H, W, C)."""
    return Datum(data=cv2.imencode(form, image)[1].tobytes(), label=label, encoded=True).SerializeToString()


def numbered(num: int, shape: tuple[int, int, int] = (1, 2, 3)) -> list[bytes]:
    """Records whose pixels and label are all their own number."""
    return [datum(np.full(shape, i, np.uint8), i) for i in range(num)]


def data_layer(source: Path | str, batch_size: int = 2, *, rand_skip: int = 0, **transform: Any) -> Data:
    return Data(str(source), "LMDB", batch_size, rand_skip, Transform(**transform))


def image_layer(source: Path | str, batch_size: int = 2, **fields: Any) -> ImageData:
    """An ImageData layer; `fields` over its defaults."""
    defaults = {"rand_skip": 0, "shuffle": False, "new_height": 0, "new_width": 0, "is_color": True, "root_folder": ""}
    return ImageData(source=str(source), batch_size=batch_size, **{**defaults, "transform": Transform(), **fields})


def make_images(folder: Path, num: int) -> Path:
    """Grey 4x6 images whose pixels and label are their number, and the list of them."""
    for i in range(num):
        cv2.imwrite(str(folder / f"image {i}.png"), np.full((4, 6), i, np.uint8))
    (folder / "list.txt").write_text("".join(f"image {i}.png {i}\n" for i in range(num)))
    return folder / "list.txt"


def make_hdf5(folder: Path, files: Sequence[dict[str, Any]]) -> Path:
    """HDF5 files and the list of them."""
    for i, sets in enumerate(files):
        with h5py.File(folder / f"{i}.h5", "w") as file:
            for name, values in sets.items():
                file[name] = values
    (folder / "list.txt").write_text("".join(f"{folder}/{i}.h5\n" for i in range(len(files))))
    return folder / "list.txt"


def hdf5_layer(source: Path | str, batch_size: int = 2, *, shuffle: bool = False, tops: str = "data") -> HDF5Data:
    return HDF5Data(str(source), batch_size, shuffle, tuple(tops.split()))


class Refused:
    """The one diagnostic that a block must raise: `with Refused("ND0510", "record") as it: …`."""

    def __init__(self, code: str, *parts: str) -> None:
        self.code, self.parts = code, parts

    def __enter__(self) -> Refused:
        self._raises = pytest.raises(NetdefError)
        self._caught = self._raises.__enter__()
        return self

    def __exit__(self, *exception: Any) -> bool:
        suppressed = bool(self._raises.__exit__(*exception))
        (diagnostic,) = self._caught.value.diagnostics
        assert diagnostic.code == self.code, diagnostic
        for part in self.parts:
            assert part in diagnostic.message, diagnostic
        return suppressed
