"""`netdef export` and `netdef verify` as a user runs them: exit codes, streams, files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from netdef.cli import main
from netdef.deploy.runtime import newest_runnable
from tests.golden_cases import GOLDEN

LENET = str(GOLDEN / "nets/lenet/net.prototxt")
WEIGHTS = str(GOLDEN / "nets/lenet/weights.caffemodel")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `netdef …`."""
    monkeypatch.setattr(sys, "argv", ["netdef", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_export_then_verify(monkeypatch, capsys, tmp_path):
    path = tmp_path / "m.onnx"
    assert run(monkeypatch, "export", LENET, "--weights", WEIGHTS, "-o", path) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "all 8 blobs; torch against ONNX Runtime at batch size 1 and 3" in out
    assert f"data batchx1x28x28 -> prob batchx10, opset {newest_runnable()}" in out
    assert "onnx's own evaluator agrees with torch too" in out
    assert run(monkeypatch, "verify", path, LENET, "--weights", WEIGHTS, "--format", "json") == 0
    proof = json.loads(capsys.readouterr().out)
    assert proof["largest_relative_error"] < 1e-5
    assert len(proof["blobs"]) == 8


def test_strict(monkeypatch, capsys, tmp_path):
    net, path = tmp_path / "net.prototxt", tmp_path / "m.onnx"
    assert run(monkeypatch, "export", LENET, "--weights", WEIGHTS, "--strict", "-o", path) == 0
    net.write_text(Path(LENET).read_text().replace('"ip2"', '"other"'))
    assert run(monkeypatch, "export", net, "--weights", WEIGHTS, "--strict", "-o", path) == 1
    assert capsys.readouterr().err.count("error[ND0612]") == 2
    assert run(monkeypatch, "export", net, "--weights", WEIGHTS, "-o", path) == 0
    assert "note[ND0619]" in capsys.readouterr().err


def test_json(monkeypatch, capsys, tmp_path):
    path = tmp_path / "m.onnx"
    assert run(monkeypatch, "export", LENET, "-o", path, "--batch", 2, "--opset", 13, "--format", "json") == 0
    out, err = capsys.readouterr()
    assert "warning[ND0912]" in err
    report = json.loads(out)
    assert report["inputs"] == {"data": [2, 1, 28, 28]}
    assert (report["opset"], report["batch_sizes"], report["size_bytes"]) == (13, [2], path.stat().st_size)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["export", "none.prototxt", "-o", "m.onnx"], 1, "ND0010", id="no such net"),
        pytest.param(["export", LENET, "-o", "m.onnx", "-w", "none.caffemodel"], 1, "ND0601", id="no such weights"),
        pytest.param(["export", LENET, "-o", "m.onnx", "-w", LENET], 1, "ND0602", id="weights that are none"),
        pytest.param(["export", LENET, "-o", "m.onnx", "--opset", "12"], 1, "ND0903", id="an old opset"),
        pytest.param(["export", LENET, "-o", "none/m.onnx"], 3, "ND0914", id="no such folder"),
        pytest.param(["export", LENET], 2, "--output", id="no output"),
        pytest.param(["export", LENET, "-o", "m.onnx", "--batch", "0"], 2, "'0' is neither", id="batch 0"),
        pytest.param(["export", LENET, "-o", "m.onnx", "--batch", "x"], 2, "'x' is neither", id="batch x"),
        pytest.param(["verify", LENET, LENET, "-w", WEIGHTS], 1, "ND0910", id="a model that is none"),
        pytest.param(["verify", "none.onnx", LENET, "-w", WEIGHTS], 1, "ND0910", id="no such model"),
        pytest.param(["verify", "m.onnx", LENET], 2, "--weights", id="verify without weights"),
    ],
)
def test_exit_codes(monkeypatch, capsys, tmp_path, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == code
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in out + err
    assert list(Path().iterdir()) == []


def test_a_model_that_parts_from_the_net(monkeypatch, capsys, tmp_path):
    path = tmp_path / "m.onnx"
    assert run(monkeypatch, "export", LENET, "-o", path, "--no-verify") == 0
    assert "not verified" in capsys.readouterr().out
    assert run(monkeypatch, "verify", path, LENET, "-w", WEIGHTS) == 3
    assert 'part at blob "conv1" of layer "conv1"' in capsys.readouterr().err
