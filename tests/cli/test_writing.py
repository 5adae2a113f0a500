"""No command writes over a file that it was given to read."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from netdef.cli import main
from tests.golden_cases import GOLDEN

NET, WEIGHTS = (GOLDEN / "nets/lenet" / name for name in ("net.prototxt", "weights.caffemodel"))


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        pytest.param("export n.prototxt -w w.caffemodel -o n.prototxt", "n.prototxt", id="an export over its net"),
        pytest.param("export n.prototxt -w w.caffemodel -o ./w.caffemodel", "w.caffemodel", id="over its weights"),
        pytest.param("export n.prototxt -w x,w.caffemodel -o w.caffemodel", "w.caffemodel", id="one of several"),
        pytest.param("export n.prototxt -w w.caffemodel -o link", "link", id="by a link"),
        pytest.param("deploy-net n.prototxt -o n.prototxt", "n.prototxt", id="deploy-net"),
        pytest.param("fold n.prototxt -w w.caffemodel -o n.prototxt out.caffemodel", "n.prototxt", id="fold, the net"),
        pytest.param("fold n.prototxt -w w.caffemodel -o o w.caffemodel", "w.caffemodel", id="fold, the weights"),
        pytest.param("eject n.prototxt -w m.safetensors -o m.py", "m.safetensors", id="beside the ejected file"),
        pytest.param("weights convert w.caffemodel w.caffemodel", "w.caffemodel", id="convert"),
    ],
)
def test_refused(
    line: str, lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(NET, tmp_path / "n.prototxt")
    shutil.copy(WEIGHTS, tmp_path / "w.caffemodel")
    shutil.copy(WEIGHTS, tmp_path / "m.safetensors")
    (tmp_path / "link").symlink_to("n.prototxt")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["netdef", *line.split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert f"{lost} is read, and would be written over" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
