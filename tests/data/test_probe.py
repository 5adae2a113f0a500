"""Does the probe find shapes, say what is wrong, and stay light?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from netdef.data.probe import probe, prober
from netdef.graph import Options
from netdef.ir import Places
from netdef.layers.base import Layer
from tests.data.build import (
    data_layer,
    encoded,
    hdf5_layer,
    image_layer,
    make_hdf5,
    make_images,
    make_lmdb,
    numbered,
)
from tests.graph.compiling import compiled, underlined


def test_shapes(tmp_path: Path) -> None:
    raw = make_lmdb(tmp_path / "raw", numbered(2, (3, 9, 12)))
    png = make_lmdb(tmp_path / "png", [encoded(np.zeros((5, 7, 3), np.uint8))])
    images = make_images(tmp_path, 1)
    found = {
        "raw": probe(data_layer(raw, 4)),
        "cropped": probe(data_layer(raw, 4, crop_size=6)),
        "encoded": probe(data_layer(png, 4)),
        "as grey": probe(data_layer(png, 4, force_gray=True)),
        "images": probe(image_layer(images, 2, root_folder=f"{tmp_path}/", is_color=False)),
        "hdf5": probe(
            hdf5_layer(make_hdf5(tmp_path, [{"data": np.zeros((5, 2)), "y": np.zeros(5)}]), 3, tops="data y")
        ),
    }
    assert {name: one.shapes for name, one in found.items()} == {
        "raw": ((4, 3, 9, 12), (4,)),
        "cropped": ((4, 3, 6, 6), (4,)),
        "encoded": ((4, 3, 5, 7), (4,)),
        "as grey": ((4, 1, 5, 7), (4,)),
        "images": ((2, 1, 4, 6), (2,)),
        "hdf5": ((3, 2), (3,)),
    }
    assert not any(one.diagnostics for one in found.values())


def test_a_missing_source_is_a_warning() -> None:
    found = prober("nets/net.prototxt")(data_layer("nowhere"), "data", Places())
    assert found.shapes is None
    (diagnostic,) = found.diagnostics
    assert (diagnostic.severity.value, diagnostic.code) == ("warning", "ND0501")
    assert "nets/nowhere" in diagnostic.help[0]


def test_where_no_source_is_given_decoding_has_said_so() -> None:
    assert prober("nets/net.prototxt")(data_layer(""), "data", None).diagnostics == ()


BAD = {
    "junk": (data_layer("db"), [b"junk"], "ND0510"),
    "empty": (data_layer("db"), [], "ND0504"),
    "crop": (data_layer("db", crop_size=3), numbered(1), "ND0520"),
}


@pytest.mark.parametrize(("layer", "values", "code"), BAD.values(), ids=BAD)
def test_a_bad_source_is_an_error(layer: Layer, values: list[bytes], code: str, tmp_path: Path) -> None:
    make_lmdb(tmp_path / "db", values)
    found = prober(tmp_path / "net.prototxt")(layer, "data", Places())
    assert found.shapes is None
    assert [(d.severity.value, d.code) for d in found.diagnostics] == [("error", code)]


def test_is_light(tmp_path: Path) -> None:
    make_lmdb(tmp_path / "db", numbered(1))
    program = f"""
import sys
from netdef.data.probe import probe
from netdef.layers.data import Data, Transform
assert probe(Data({str(tmp_path / "db")!r}, "LMDB", 1, 0, Transform())).shapes
print(*sorted({{"numpy", "torch", "cv2", "h5py", "onnx"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(("source", "transform"), [("nowhere", ""), ("db", "crop_size: 9"), ("junk", "")])
def test_points_at_the_field_at_fault(source: str, transform: str, tmp_path: Path) -> None:
    """The value of `crop_size` where that does not fit, of `source` otherwise."""
    make_lmdb(tmp_path / "db", numbered(1))
    make_lmdb(tmp_path / "junk", [b"junk"])
    text = (
        f'layer {{ name: "d" type: "Data" top: "d" transform_param {{ {transform} }}\n'
        f'  data_param {{ batch_size: 1 backend: LMDB source: "{source}" }} }}'
    )
    (found,) = compiled(text, Options(probe=prober(tmp_path))).diagnostics
    assert underlined(found) == ("9" if transform else f'"{source}"')
