"""Are database records read as Caffe reads them, and bad ones named?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from netdef.data.reader import Labels
from netdef.data.source import open_source
from netdef.schema.netdef_pb2 import Datum
from tests.data.build import Refused, data_layer, datum, encoded, make_lmdb, numbered

COLOR = np.random.default_rng(1).integers(0, 256, (6, 5, 3)).astype(np.uint8)
GRAY = COLOR[:, :, 0].copy()
ALPHA = np.dstack([COLOR, GRAY])
AS_GRAY = cv2.cvtColor(COLOR, cv2.COLOR_BGR2GRAY)[None]
DECODED = {
    "colour": (COLOR, {}, COLOR.transpose(2, 0, 1)),
    "grey": (GRAY, {}, GRAY[None]),
    "with alpha": (ALPHA, {}, ALPHA.transpose(2, 0, 1)),
    "grey as colour": (GRAY, {"force_color": True}, np.stack([GRAY] * 3)),
    "alpha as colour": (ALPHA, {"force_color": True}, COLOR.transpose(2, 0, 1)),
    "grey stays grey": (GRAY, {"force_gray": True}, GRAY[None]),
    "colour as grey": (COLOR, {"force_gray": True}, AS_GRAY),
}


@pytest.mark.parametrize(("image", "fields", "expected"), DECODED.values(), ids=DECODED)
def test_decodes_images(image: Any, fields: dict[str, bool], expected: Any, tmp_path: Path) -> None:
    layer = data_layer(make_lmdb(tmp_path / "db", [encoded(image, 4)]), 1, **fields)
    data, label = open_source(layer, phase="TEST").next_batch()
    # libpng and cvtColor round grey differently by one.
    np.testing.assert_allclose(data[0], expected.astype(np.float32), rtol=0, atol=1 if expected is AS_GRAY else 0)
    assert label.tolist() == [4]


BAD = {
    "no message": (b"\xff\xff\xff", "ND0510", "no Datum"),
    "another message": (b"hello, world", "ND0510", "00000001"),
    "an empty value": (b"", "ND0510", "0x0x0"),
    "too few bytes": (Datum(channels=1, height=2, width=3, data=b"12345").SerializeToString(), "ND0510", "1x2x3"),
    "a negative size": (Datum(channels=-1, height=-2, width=3, data=b"123456").SerializeToString(), "ND0510", "-1"),
    "no image file": (Datum(data=b"no picture", encoded=True).SerializeToString(), "ND0513", "10 bytes"),
    "half an image file": (Datum(data=encoded(COLOR)[4:40], encoded=True).SerializeToString(), "ND0513", "00000001"),
    "an empty image file": (Datum(encoded=True).SerializeToString(), "ND0510", "without data"),
    "16 bits": (encoded(GRAY.astype(np.uint16) * 200), "ND0513", "uint16"),
    "another shape": (datum(np.zeros((1, 3, 2), np.uint8)), "ND0511", "1x3x2"),
    "label too large": (datum(np.zeros((1, 2, 3), np.uint8), 10), "ND0512", "label 10"),
    "label negative": (datum(np.zeros((1, 2, 3), np.uint8), -1), "ND0512", "label -1"),
}


@pytest.mark.parametrize(("value", "code", "part"), BAD.values(), ids=BAD)
def test_names_the_bad_record(value: bytes, code: str, part: str, tmp_path: Path) -> None:
    source = open_source(
        data_layer(make_lmdb(tmp_path / "db", [numbered(1)[0], value])), phase="TEST", labels=Labels(10), name="mnist"
    )
    with Refused(code, 'layer "mnist"', 'record "00000001"', part):
        source.next_batch()
    source.close()


def test_an_ignored_label_passes(tmp_path: Path) -> None:
    layer = data_layer(make_lmdb(tmp_path / "db", [datum(np.zeros((1, 1, 1), np.uint8), 255)]), 1)
    labels = open_source(layer, phase="TEST", labels=Labels(10, ignore=255)).next_batch()[1]
    assert labels.tolist() == [255]
