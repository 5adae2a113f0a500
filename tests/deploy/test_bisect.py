"""`netdef bisect`: back ends that agree, one that parts, and those that are not there."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import cv2
import pytest

from netdef.cli import main
from netdef.deploy import runtime
from netdef.deploy.bisect import bisect
from netdef.diagnostics import NetdefError
from netdef.graph import Options
from netdef.graph.load import load_written
from tests.golden_cases import GOLDEN

CORPUS = Path(__file__).parents[2].parent / "shared/corpus/weights"
NETS = ("lenet", "residual", "inception")


def files(name: str) -> list[str]:
    folder = GOLDEN / "nets" / name
    return [str(folder / "net.prototxt"), "--weights", str(folder / "weights.caffemodel")]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["netdef", "bisect", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


needs_opencv4 = pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 reads no Caffe files")


@needs_opencv4
@pytest.mark.parametrize("name", NETS)
def test_golden_nets_are_alike_in_three_back_ends(monkeypatch, capsys, name):
    assert run(monkeypatch, *files(name)) == 0
    out, err = capsys.readouterr()
    assert "ONNX Runtime, OpenCV: every blob as in torch" in out
    assert err == ""


def test_every_blob_is_compared(monkeypatch, capsys):
    assert run(monkeypatch, *files("lenet"), "--backend", "torch", "--backend", "onnx", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [blob["blob"] for blob in found["blobs"]] == [
        "conv1", "pool1", "conv2", "pool2", "ip1@ip1", "ip1", "ip2", "prob"
    ]  # fmt: skip
    assert (found["base"], found["first"]) == ("torch", None)


def test_the_first_layer_at_fault_is_named_and_who_agrees(monkeypatch, capsys):
    """ONNX Runtime is made to err from ip1 on; onnx's evaluator sides with torch."""
    real = runtime.session

    def wrong(model):
        run = real(model)

        def spoilt(feeds):
            tops = run(feeds)
            return {name: value * (1.01 if name in ("ip1@ip1", "ip1", "ip2") else 1) for name, value in tops.items()}

        return spoilt

    monkeypatch.setattr(import_module("netdef.deploy.runtime"), "session", wrong)
    backends = [word for name in ("torch", "onnx", "reference") for word in ("--backend", name)]
    assert run(monkeypatch, *files("lenet"), *backends) == 1
    out, err = capsys.readouterr()
    assert 'error[ND0923]: torch and ONNX Runtime part at blob "ip1@ip1" of InnerProduct "ip1"' in err
    assert "relative error 0.01, allowed 0.0001" in err
    assert "net.prototxt:" in err
    assert "torch and ONNX Runtime differ by 0.01 there" in err
    assert "torch and onnx's evaluator differ by " in err
    assert "1.0e-02 !" in out


@needs_opencv4
def test_opencv_knows_no_beta_of_swish(monkeypatch, capsys):
    net = next((GOLDEN / "layers").glob("swish_beta/*.prototxt"))
    assert run(monkeypatch, str(net)) == 1
    assert 'torch and OpenCV part at blob "y" of Swish "l"' in capsys.readouterr().err


def test_a_back_end_that_is_not_there_is_left_out(monkeypatch, capsys):
    monkeypatch.delattr(cv2.dnn, "readNetFromCaffe", raising=False)
    assert run(monkeypatch, *files("lenet")) == 0
    out, err = capsys.readouterr()
    assert "warning[ND0920]: OpenCV is left out: OpenCV" in err
    assert "ONNX Runtime: every blob as in torch" in out
    graph, messages = load_written(files("lenet")[0], Options(phase="TEST"))
    with pytest.raises(NetdefError, match=r"ND0920.*no two back ends"):
        bisect(graph, messages, backends=("torch", "opencv"))


@needs_opencv4
def test_a_net_that_opencv_cannot_read_is_compared_without_it(monkeypatch, capsys):
    net = next((GOLDEN / "nets").glob("lstm*/net.prototxt"), None) or next(
        (GOLDEN / "layers").glob("embed*/net.prototxt")
    )
    assert run(monkeypatch, str(net)) == 0
    assert "warning[ND0920]: OpenCV is left out: it cannot run the net" in capsys.readouterr().err


def test_one_back_end_is_none(monkeypatch, capsys):
    assert run(monkeypatch, "net.prototxt", "--backend", "torch") == 2
    assert "name two or more" in capsys.readouterr().err


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")
@needs_opencv4
@pytest.mark.parametrize("name", ["mtcnn_det1", "mtcnn_det3"])
def test_real_models(monkeypatch, capsys, name):
    folder = CORPUS / name
    (net,), (weights,) = folder.glob("*.prototxt"), folder.glob("*.caffemodel")
    assert run(monkeypatch, str(net), "--weights", str(weights)) == 0
    assert "every blob as in torch" in capsys.readouterr().out
