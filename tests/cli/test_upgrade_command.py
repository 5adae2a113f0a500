"""Does `netdef upgrade` write what an old file means, in style, with its comments, and only where it was told to?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from google.protobuf import text_format

import netdef
from netdef.cli import main
from netdef.schema import netdef_pb2 as pb
from netdef.schema import read_message
from netdef.schema.read import read_source
from netdef.text import format_document, parse
from tests.golden_cases import GOLDEN

LEGACY = GOLDEN / "nets/legacy_v1/net.prototxt"
CORPUS = Path(__file__).parents[3] / "shared/corpus/dev"

OLD = b"""# caf\xe9, a national encoding
layers { name: 'c' type: CONVOLUTION  # rates follow
  blobs_lr: 1 weight_decay: 0  # once
  convolution_param { num_output: 2 kernel_size: 1 } }
"""
NEW = """layer { name: 'c' type: 'Convolution' param { lr_mult: 1 decay_mult: 0 }
  convolution_param { num_output: 2 kernel_size: 1 } }"""
SOLVER = "net: 'n' # which\nsolver_type: ADAM\nmax_iter: 3\n"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `netdef upgrade …`."""
    monkeypatch.setattr(sys, "argv", ["netdef", "upgrade", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def in_style(path: Path) -> bool:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return format_document(parse(read_source(path)).document) == text


def test_a_net_to_a_file(monkeypatch, capsys, tmp_path):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_bytes(OLD)
    assert run(monkeypatch, old, "-o", new) == 0
    written = new.read_bytes()
    assert old.read_bytes() == OLD
    assert re.findall(rb"#.*", written) == [b"# caf\xe9, a national encoding", b"# rates follow", b"# once"]
    assert text_format.Parse(written.decode("latin-1"), pb.NetParameter()) == text_format.Parse(NEW, pb.NetParameter())
    assert in_style(new)


def test_in_place_and_once(monkeypatch, capsys, tmp_path):
    path = tmp_path / "a.prototxt"
    path.write_bytes(OLD)
    assert run(monkeypatch, path, "-i") == 0
    first = path.read_bytes()
    assert first != OLD
    assert run(monkeypatch, path, "-i") == 0
    assert path.read_bytes() == first
    assert "already" in capsys.readouterr().err


BATCH_NORM = """layer {
  name: "b"
  type: "BatchNorm"
  param { lr_mult: 1 }  # the mean
  param { decay_mult: 2 name: "v" }
  param {
    # the factor
    lr_mult: 0.5
  }
}
"""


def test_batch_norms_of_2015(monkeypatch, capsys, tmp_path):
    path = tmp_path / "a.prototxt"
    path.write_text(BATCH_NORM)
    assert run(monkeypatch, path, "-i") == 0
    zeros = "lr_mult: 0 decay_mult: 0"
    blocks = f"param {{ {zeros} }} param {{ name: 'v' {zeros} }} param {{ {zeros} }}"
    expected = f"layer {{ name: 'b' type: 'BatchNorm' {blocks} }}"
    assert text_format.Parse(path.read_text(), pb.NetParameter()) == text_format.Parse(expected, pb.NetParameter())
    assert re.findall(r"#.*", path.read_text()) == ["# the mean", "# the factor"]
    assert run(monkeypatch, path, "-i") == 0
    assert "already" in capsys.readouterr().err


def test_a_golden_net_computes_the_same(monkeypatch, capsys, tmp_path):
    """Text and weights upgraded, against the values of real Caffe for the old files."""
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    assert run(monkeypatch, LEGACY, "-o", net) == 0
    assert run(monkeypatch, LEGACY.parent / "weights.caffemodel", "-o", weights) == 0
    with np.load(LEGACY.parent / "case.npz") as case:
        data, expected = case["bottom.data"], case["top.prob"]
    module = netdef.build(netdef.load_net(net), weights)
    assert np.allclose(module(data=torch.from_numpy(data))["prob"].detach(), expected, rtol=1e-5, atol=1e-6)


def test_to_standard_output(monkeypatch, capfdbinary):
    assert run(monkeypatch, LEGACY) == 0
    out, err = capfdbinary.readouterr()
    found = text_format.Parse(out.decode(), pb.NetParameter())
    types = ["Input", "Convolution", "ReLU", "Pooling", "InnerProduct", "Softmax"]
    assert [layer.type for layer in found.layer] == types
    assert not found.input
    assert err == b""


def test_a_solver(monkeypatch, capsys, tmp_path):
    path = tmp_path / "a.prototxt"
    path.write_text(SOLVER)
    assert run(monkeypatch, path, "-i") == 0
    assert path.read_text() == 'net: "n"  # which\ntype: "Adam"\nmax_iter: 3\n'


@pytest.mark.parametrize(
    ("text", "arguments", "code", "says"),
    [
        pytest.param("layers { type: CONVOLUTOIN }", (), 1, "ND0220", id="unknown type"),
        pytest.param("layers { type: }", (), 1, "ND01", id="syntax"),
        pytest.param("layer { }", ("-o", "x", "-i"), 2, "exclude", id="two places"),
        pytest.param(None, (), 1, "ND0010", id="no file"),
        pytest.param("layers { name: 'a' }", ("-o", "/nowhere/x"), 3, "ND0016", id="no folder"),
    ],
)
def test_refusals(monkeypatch, capsys, tmp_path, text, arguments, code, says):
    path = tmp_path / "a.prototxt"
    if text is not None:
        path.write_text(text)
    assert run(monkeypatch, path, *arguments) == code
    out, err = capsys.readouterr()
    assert says in err
    assert out == ""
    assert text is None or path.read_text() == text


def test_weights_need_a_place(monkeypatch, capsys):
    assert run(monkeypatch, GOLDEN / "nets/legacy_v1/weights.caffemodel") == 2
    assert "-o or -i" in capsys.readouterr().err


@pytest.mark.corpus
def test_real_files(monkeypatch, capsys, tmp_path):
    if not CORPUS.is_dir():
        pytest.skip("no corpus")
    texts = {path: path.read_bytes() for path in sorted(CORPUS.rglob("*.prototxt"))}
    old = [path for path, text in texts.items() if re.search(rb"^\s*layers|solver_type", text, re.MULTILINE)]
    assert len(old) > 50
    out = tmp_path / "new.prototxt"
    for path in old:
        if run(monkeypatch, path, "-o", out) != 0:  # a fork's types
            assert re.search(r"ND0220|ND01", capsys.readouterr().err), path
            continue
        kind = pb.SolverParameter if b"solver_type" in texts[path] else pb.NetParameter
        expected, found = read_message(path, kind), read_message(out, kind)
        if kind is pb.NetParameter and expected.message.input and not found.message.input:
            assert list(found.message.layer[0].top) == list(expected.message.input)
            del found.message.layer[0]
            for name in ("input", "input_dim", "input_shape"):
                expected.message.ClearField(name)
        assert found.message == expected.message, path
        assert in_style(out), path
        assert sorted(re.findall(rb"#[^\n]*?(?=\s*$)", texts[path], re.M)) == sorted(
            re.findall(rb"#[^\n]*?(?=\s*$)", out.read_bytes(), re.M)
        ), path
