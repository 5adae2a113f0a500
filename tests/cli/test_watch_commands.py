"""`netdef time`, `devices`, `gradcheck`, `lr-find`, `plot` and `train --overfit|--tensorboard` as a user runs them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from netdef.cli import main
from netdef.cli.main import COMMANDS
from tests.golden_cases import GOLDEN


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a solver, its net and its data, in which the command runs."""
    shutil.copytree(GOLDEN / "logs/train_test", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `netdef …`."""
    monkeypatch.setattr(sys, "argv", ["netdef", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_time_table(folder: Path, monkeypatch, capsys):
    assert run(monkeypatch, "time", "solver.prototxt", "--iterations", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[0] for line in lines if line.strip()]
    for name in ("data", "conv", "relu", "pool", "ip", "loss", "all", "in"):
        assert name in rows
    assert lines[-1].startswith("phase TRAIN on cpu, ")
    assert "a single round" in lines[-1]


def test_time_json_with_made_up_data(folder: Path, monkeypatch, capsys):
    Path("train.h5").unlink()
    Path("train_list.txt").unlink()
    shapes = ["--shape", "data=8x1x8x8", "--shape", "label=8"]
    assert run(monkeypatch, "time", "--model", "net.prototxt", "--iterations", 2, "--format", "json", *shapes) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["random_inputs"] == ["data", "label"]
    conv = told["layers"][0]
    assert (conv["layer"], conv["type"]) == ("conv", "Convolution")
    assert conv["forward"]["flops"] == 2 * 8 * 5 * 36 * 9
    assert sum(row["share"] for row in told["layers"]) == pytest.approx(1)


def test_devices(monkeypatch, capsys):
    assert run(monkeypatch, "devices") == 0
    assert capsys.readouterr().out.startswith("CPU ")
    assert run(monkeypatch, "devices", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["processor"]["threads"] >= 1


def test_gradcheck(folder: Path, monkeypatch, capsys):
    assert run(monkeypatch, "gradcheck", "solver.prototxt", "--samples", 2, "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agrees"] is True
    expected = ["conv weight", "conv bias", "relu conv", "pool conv", "ip pool", "ip weight", "ip bias", "loss ip"]
    expected += ["in one go conv.weight"]
    assert [f"{check['layer']} {check['tensor']}" for check in told["checks"]] == expected


def test_lr_find(folder: Path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    arguments = ["lr-find", "solver.prototxt", "--from", 1e-4, "--to", 5, "--iterations", 40, "-o", "lr.png"]
    assert run(monkeypatch, *arguments) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("suggestion: base_lr: 0.")
    assert err == "drawn: lr.png\n"
    assert Path("lr.png").read_bytes().startswith(b"\x89PNG")


def test_overfit(folder: Path, monkeypatch, capsys):
    assert run(monkeypatch, "train", "solver.prototxt", "--overfit", 8) == 0
    assert "All 8 images are known by heart after" in capsys.readouterr().out
    assert run(monkeypatch, "train", "solver.prototxt", "--overfit", 30, "--iterations", 10) == 3
    assert "ND0830" in capsys.readouterr().err


def test_train_writes_for_tensorboard_and_plot(folder: Path, monkeypatch, capsys):
    pytest.importorskip("tensorboard")
    pytest.importorskip("matplotlib")
    Path("solver.prototxt").write_text(Path("solver.prototxt").read_text() + '\nmetrics: "metrics.jsonl"\n')
    assert run(monkeypatch, "train", "solver.prototxt", "--tensorboard", "tb") == 0
    assert len(list(Path("tb").glob("events.out.tfevents.*"))) == 1
    log = capsys.readouterr().out
    Path("own.log").write_text(log)
    assert run(monkeypatch, "plot", "metrics.jsonl", "own.log", "train.log", "-o", "c.svg") == 0
    # The last line of a log comes after the last update.
    told = ["metrics.jsonl", "own", "train.log"]
    expected = [f"{name}: 7 displays, up to iteration 30" for name in told]
    assert capsys.readouterr().out.splitlines() == [*expected, "drawn: c.svg"]


def test_a_first_loss_far_from_chance_is_told(folder: Path, monkeypatch, capsys):
    text = Path("net.prototxt").read_text()
    loud = (
        'layer { name: "loud" type: "Power" bottom: "ip" top: "ip" power_param { scale: 1000 } }\nlayer {\n  name: "acc'
    )
    Path("net.prototxt").write_text(text.replace('layer {\n  name: "acc', loud))
    assert run(monkeypatch, "train", "solver.prototxt", "--iterations", 1) == 0
    assert "guessing among 4 classes costs 1.386" in capsys.readouterr().err


def test_a_plot_to_no_folder(folder: Path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    assert run(monkeypatch, "plot", "train.log", "-o", "none/c.png") == 3
    assert "ND0016" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["time"], 2, "NET|SOLVER", id="time without a net"),
        pytest.param(["time", "none.prototxt"], 1, "ND0010", id="time of no file"),
        pytest.param(["time", "solver.prototxt", "--iterations", "0"], 2, "iterations", id="time 0 rounds"),
        pytest.param(["time", "solver.prototxt", "--gpu", "99"], 1, "ND0711", id="time on no GPU"),
        pytest.param(["gradcheck", "train.h5"], 1, "ND0014", id="gradcheck of data"),
        pytest.param(["gradcheck", "net.prototxt", "--tolerance", "0"], 2, "tolerance", id="tolerance 0"),
        pytest.param(["lr-find", "net.prototxt"], 1, "ND0706", id="lr-find of a net"),
        pytest.param(["lr-find", "solver.prototxt", "--from", "1", "--to", "1"], 2, "--from 1 must", id="no range"),
        pytest.param(["lr-find", "solver.prototxt", "-o", "lr.bmp"], 1, "ND0034", id="lr-find to a bitmap"),
        pytest.param(["plot"], 2, "RUN", id="plot without a run"),
        pytest.param(["plot", "none.jsonl"], 1, "ND0010", id="plot of no file"),
        pytest.param(["plot", "net.prototxt"], 1, "ND0706", id="plot of a net"),
        pytest.param(["plot", "test_list.txt"], 1, "ND0033", id="plot of something else"),
        pytest.param(["train", "solver.prototxt", "--overfit", "0"], 2, "overfit", id="overfit on nothing"),
        pytest.param(["lrfind", "solver.prototxt"], 2, "lr-find", id="a name nearly right"),
    ],
)
def test_mistakes(folder: Path, monkeypatch, capsys, arguments, code, says):
    before = sorted(folder.iterdir())
    assert run(monkeypatch, *arguments) == code
    out, err = capsys.readouterr()
    assert says in err
    assert "Traceback" not in out + err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["time", "devices", "gradcheck", "lr-find", "plot"])
def test_help(monkeypatch, capsys, name):
    assert name in COMMANDS
    assert run(monkeypatch, name, "--help") == 0
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("lr-find", "solver.prototxt", "--from", "nan"),
        ("lr-find", "solver.prototxt", "--to", "inf"),
        ("gradcheck", "net.prototxt", "--tolerance", "nan"),
        ("train", "solver.prototxt", "--resume", "auto", "--snapshot", "x.solverstate"),
    ],
    ids=lambda arguments: " ".join(arguments[2:]),
)
def test_wrong_use(arguments: tuple[str, ...], folder: Path, monkeypatch, capsys):
    assert run(monkeypatch, *arguments) == 2
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["lr-find", "plot"])
def test_a_folder_that_is_not_there_is_told_before_the_work(command: str, folder: Path, monkeypatch, capsys):
    assert run(monkeypatch, command, "solver.prototxt", "-o", "nowhere/x.png") == 3
    said = capsys.readouterr()
    assert said.err.startswith("error[ND0016]: no such folder: nowhere")
    assert said.out == ""


def test_a_test_without_weights_says_so(folder: Path, monkeypatch, capsys):
    assert run(monkeypatch, "test", "solver.prototxt", "--iterations", "1") == 0
    assert capsys.readouterr().err.startswith("warning[ND0613]: no weights were given")
    assert run(monkeypatch, "test", "solver.prototxt", "--iterations", "1", "--weights", "init.caffemodel") == 0
    assert capsys.readouterr().err == ""
