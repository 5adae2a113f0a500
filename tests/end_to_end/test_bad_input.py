"""Does every input, however hostile, end in a diagnostic or a result, within seconds?"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch

import netdef
from netdef.cli import main
from netdef.targets.torch import build_module

SECONDS = 30
"""Far more than any of them takes alone (most: half a second), for a machine with other work."""

IN = "input: 'x' input_shape { dim: 1 dim: 3 dim: 8 dim: 8 } "


def layer(kind: str, more: str = "", tops: str = "top: 'y'") -> str:
    return f"{IN} layer {{ name: 'l' type: '{kind}' bottom: 'x' {tops} {more} }}"


def chain(count: int) -> str:
    layers = (f"layer {{ name: 'r{i}' type: 'ReLU' bottom: 'y{i}' top: 'y{i + 1}' }}" for i in range(count))
    return "input: 'y0' input_shape { dim: 1 dim: 2 }\n" + "\n".join(layers)


def in_place(count: int) -> str:
    return IN + "\n".join(f"layer {{ name: 'r{i}' type: 'ReLU' bottom: 'x' top: 'x' }}" for i in range(count))


CONVOLUTION = "convolution_param { num_output: 2 kernel_size: %s }"

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "zero bytes": (bytes(range(256)) * 20, "ND0014"),
    "other bytes": (bytes(range(1, 256)) * 20, "ND0114"),
    "one word of 10 MB": ("x" * 10_000_000, "ND0107"),
    "a million numbers": ("input_dim: 1 " * 300_000, "ND0115"),
    "opened 10,000 times": ("layer { " * 10_000, "ND0112"),
    "nested 10,000 times": ("layer { " * 10_000 + "} " * 10_000, "ND0112"),
    "nested in angles": ("a < " * 10_000, "ND0112"),
    "nested lists": ("name: " + "[" * 10_000, "ND0101"),
    "quotes": ("'" * 100_001, "ND0101"),
    "closing braces": ("}" * 100_000, "ND0109"),
    "100,000 layers": (chain(100_000), "ND0115"),
    "too many outputs": (layer("Convolution", CONVOLUTION.replace("2", "4000000000") % 1), "ND0404"),
    "too many weights": (layer("InnerProduct", "inner_product_param { num_output: 2000000000 }"), "ND0413"),
    "too large a kernel": (layer("Convolution", CONVOLUTION % 9), "ND0410"),
    "far too large a kernel": (layer("Convolution", CONVOLUTION % 4_000_000_000), "ND0404"),
    "no stride": (layer("Pooling", "pooling_param { kernel_size: 2 stride: 0 }"), "ND0401"),
    "no group": (layer("Convolution", (CONVOLUTION % 1).replace("}", "group: 0 }")), "ND0401"),
    "a negative size": ("input: 'x' input_shape { dim: -1 }", "ND0478"),
    "a size beyond 32 bits": ("input: 'x' input_shape { dim: [9223372036854775807, 9223372036854775807] }", "ND0479"),
    "a slice point beyond": (
        layer("Slice", "slice_param { slice_point: 1000000000 }", "top: 'a' top: 'b'"),
        "ND0453",
    ),
    "10,000 slices": (layer("Slice", "", " ".join(f"top: 'a{i}'" for i in range(10_000))), "ND0453"),
    "10,000 axes": (layer("Reshape", f"reshape_param {{ shape {{ {'dim: 1 ' * 10_000} }} }}"), "ND0455"),
    "a pyramid of 4 billion": (layer("SPP", "spp_param { pyramid_height: 4000000000 }"), "ND0404"),
    "2 billion tiles": (layer("Tile", "tile_param { tiles: 2000000000 }"), "ND0413"),
    "4 billion best": (layer("ArgMax", "argmax_param { top_k: 4000000000 }"), "ND0459"),
    "the least axis": (layer("Softmax", "softmax_param { axis: -2147483648 }"), "ND0412"),
    "an even neighbourhood": (layer("LRN", "lrn_param { local_size: 4294967294 }"), "ND0404"),
    "a ring": (
        "layer { name: 'a' type: 'ReLU' bottom: 'b' top: 'a' } layer { name: 'b' type: 'ReLU' bottom: 'a' top: 'b' }",
        "ND0302",
    ),
    "a layer that reads itself": ("layer { name: 's' type: 'Split' bottom: 's' top: 's' top: 't' }", "ND0302"),
    "one top twice": (layer("Split", "", "top: 'x' top: 'x'"), "ND0303"),
    "a name that is no UTF-8": ('layer { name: "\\xff\\xfe" type: "ReLU" }', "ND0208"),
    "a solver that names itself": ("net: 'a.prototxt' base_lr: 1 max_iter: 2 lr_policy: 'fixed'", "ND0201"),
}

FINE: dict[str, str] = {
    "nothing": "",
    "white space": "\n\n \t",
    "a byte order mark": "\ufeffname: 'x'",
    "a comment of 10 MB": "#" + "x" * 10_000_000,
    "a name of 10 MB": f"name: '{'a' * 10_000_000}'",
    "5,000 layers": chain(5_000),
    "3,000 layers in place": in_place(3_000),
    "a source without an end": "layer { name: 'd' type: 'HDF5Data' top: 'y' hdf5_data_param {"
    " source: '/dev/zero' batch_size: 1 } }",
    "a source that is no path": "layer { name: 'd' type: 'Data' top: 'x' data_param { source: '\\0' batch_size: 1 } }",
}

NAMES = (
    "ключ",
    'a "quoted" name',
    "two\nlines",
    "a.b/c\\d",
    "../../up",
    "class",
    "weight",
    " ",
    "0",
    "x" * 5_000,
    "data",
    "forward",
    'x")\nraise SystemExit("ran")\n#',
    'a"""\nraise SystemExit("ran")\n"""',
    "b'); raise SystemExit('ran') #",
    "{exit('ran')}",
    "e\rexit('ran')",
    "d\u2028exit('ran')",
)
"""The last ones would run if they got into generated code as they are."""


def check(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr(sys, "argv", ["netdef", "check", path.name])
    begin = time.monotonic()
    with pytest.raises(SystemExit) as end:
        main()
    assert time.monotonic() - begin < SECONDS
    return int(end.value.code or 0)


@pytest.mark.parametrize(("content", "code"), REFUSED.values(), ids=[name.replace(" ", "-") for name in REFUSED])
def test_refused(content, code, tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.prototxt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert check(path, monkeypatch) == 1
    err = capsys.readouterr().err
    assert f"error[{code}]" in err
    assert "ND0001" not in err
    assert len(err) < 50_000


@pytest.mark.parametrize("content", FINE.values(), ids=[name.replace(" ", "-") for name in FINE])
def test_fine(content, tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.prototxt"
    path.write_text(content)
    assert check(path, monkeypatch) == 0


def test_no_file(tmp_path, monkeypatch, capsys):
    assert check(tmp_path / "nothing.prototxt", monkeypatch) == 1
    assert "ND0010" in capsys.readouterr().err


def test_a_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.prototxt").mkdir()
    assert check(tmp_path / "a.prototxt", monkeypatch) == 1
    assert "ND0011" in capsys.readouterr().err


def test_names(tmp_path):
    """Any name goes: layers, blobs, modules and the nodes of an exported model keep theirs apart."""
    quoted = [name.encode("unicode_escape").decode().replace('"', '\\"') for name in NAMES]
    tops = ["x", *quoted]
    layers = [
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{below}" top: "{name}" inner_product_param {{'
        " num_output: 2 weight_filler { type: 'xavier' } } }"
        for below, name in zip(tops, quoted, strict=False)
    ]
    path = tmp_path / "names.prototxt"
    path.write_text("input: 'x' input_shape { dim: 1 dim: 3 }\n" + "\n".join(layers), encoding="utf-8")
    net = netdef.load_net(path)
    assert list(net.layers) == ["x", *NAMES]
    module = build_module(net, outputs=list(net.blobs))
    assert len(module.state_dict()) == 2 * len(NAMES)
    assert set(module(x=torch.zeros(1, 3))) == {"x", *NAMES}
    report = netdef.export_onnx(net, tmp_path / "names.onnx")
    assert report.outputs
