"""What do commands say of a net of which nothing takes part?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netdef.cli import main
from tests.golden_cases import GOLDEN

WEIGHTS = GOLDEN / "nets/lenet/weights.caffemodel"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"test n.prototxt --weights {WEIGHTS}", id="test"),
        pytest.param("time n.prototxt", id="time"),
        pytest.param("gradcheck n.prototxt", id="gradcheck"),
        pytest.param(f"export n.prototxt -w {WEIGHTS} -o m.onnx", id="export"),
        pytest.param(f"bisect n.prototxt -w {WEIGHTS}", id="bisect"),
        pytest.param(f"fold n.prototxt -w {WEIGHTS} -o o.prototxt o.caffemodel", id="fold"),
        pytest.param("eject n.prototxt -o m.py", id="eject"),
    ],
)
@pytest.mark.parametrize(
    "text", ["", 'layer { type: "Input" top: "x" include { stage: "never" } }'], ids=["empty", "nothing included"]
)
def test_nothing_to_compute(
    line: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "n.prototxt").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["netdef", *line.split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "error[ND0906]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["n.prototxt"]
