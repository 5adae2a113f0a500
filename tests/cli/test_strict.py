"""Does `--strict` refuse weights of other layers in every command that reads weights?"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click
import cv2
import numpy as np
import pytest

import netdef
from netdef.cli import main
from netdef.cli.main import COMMANDS, RUNS_NETS, group
from tests.golden_cases import GOLDEN

LENET, WEIGHTS = GOLDEN / "nets/lenet/net.prototxt", GOLDEN / "nets/lenet/weights.caffemodel"
NET = ("net.prototxt", "--weights", str(WEIGHTS))
SOLVER = ("solver.prototxt", "--weights", "init.caffemodel")
CALLS = {
    "bisect": (*NET, "--backend", "torch", "--backend", "onnx"),
    "eject": (*NET, "-o", "m.py"),
    "export": (*NET, "-o", "m.onnx"),
    "features": (*NET, "--blob", "ip1", "-o", "m.npz", "a.png"),
    "fold": (*NET, "-o", "m.prototxt", "m.caffemodel"),
    "lr-find": (*SOLVER, "--iterations", "10"),
    "predict": (*NET, "a.png"),
    "test": SOLVER,
    "train": (*SOLVER, "--overfit", "2", "--iterations", "10"),
    "verify": ("whole.onnx", *NET),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a net and a solver, each with a layer of another name than in its weights, and an image."""
    shutil.copytree(GOLDEN / "logs/train_test", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    net = Path("net.prototxt")
    trained = net.read_text().replace('name: "ip"', 'name: "other"')
    net.rename("solved.prototxt").write_text(trained)
    solver = Path("solver.prototxt")
    solver.write_text(solver.read_text().replace("net.prototxt", "solved.prototxt"))
    net.write_text(LENET.read_text().replace('name: "ip2"', 'name: "other"'))
    cv2.imwrite("a.png", np.zeros((28, 28), np.uint8))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `netdef …`."""
    monkeypatch.setattr(sys, "argv", ["netdef", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_every_command_that_reads_weights_is_here() -> None:
    commands = {name: group.get_command(click.Context(group), name) for name in COMMANDS}
    reading = {name for name, command in commands.items() if any(p.name == "weights" for p in command.params)}
    assert set(CALLS) == reading
    assert reading <= RUNS_NETS, "who reads weights runs a net, which may have Python layers"


@pytest.mark.parametrize("command", CALLS)
def test_a_layer_on_one_side_alone_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    if command == "verify":
        assert run(monkeypatch, "export", LENET, "--weights", WEIGHTS, "-o", "whole.onnx") == 0
    assert run(monkeypatch, command, *CALLS[command], "--strict") == 1
    assert capsys.readouterr().err.count("error[ND0612]") == 2


def test_without_files_strict_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "export", "net.prototxt", "--strict", "-o", "m.onnx") == 1
    assert 'error[ND0612]: no weights are given for "conv1"' in capsys.readouterr().err


def test_the_library_logs_what_is_dubious(caplog: pytest.LogCaptureFixture) -> None:
    net = netdef.load_net("net.prototxt")
    with caplog.at_level("INFO", "netdef"):
        netdef.build(net, WEIGHTS)
    assert [(r.levelname, r.message[:6]) for r in caplog.records] == [("INFO", "ND0619")]
    Path("net.prototxt").write_text(LENET.read_text().replace('name: "', 'name: "my_'))
    netdef.build(netdef.load_net("net.prototxt"), WEIGHTS)
    assert ("WARNING", "ND0613") in [(r.levelname, r.message[:6]) for r in caplog.records]
    for call in (netdef.build, lambda net, w, **k: netdef.eject(net, "m.py", w, **k)):
        with pytest.raises(netdef.NetdefError, match="ND0612"):
            call(net, WEIGHTS, strict=True)


def test_an_onnx_file_has_nothing_to_be_strict_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "predict", "m.onnx", "a.png", "--strict") == 2
    assert "--strict goes with a prototxt" in capsys.readouterr().err
