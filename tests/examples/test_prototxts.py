"""Are the example files free of errors, in style, and can their nets be run?"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netdef.api import build, load_net
from netdef.diagnostics import Source
from netdef.graph import Options
from netdef.report.check import check_file
from netdef.text.format import format_document
from netdef.text.parse import parse

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*/*.prototxt"))
RUN = ["digits", "lenet", "cifar10_quick", "alexnet", "googlenet", "resnet18", "resnet50"]  # VGG-16 takes too long


def short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", FILES, ids=short)
def test_nothing_is_wrong_but_absent_data(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES.parent)
    found = check_file(str(path.relative_to(EXAMPLES.parent)), Options())
    assert {diagnostic.code for diagnostic in found.diagnostics} <= {"ND0501"}
    assert not (path.parent.name == "digits" and found.diagnostics)


@pytest.mark.parametrize("path", FILES, ids=short)
def test_is_in_style(path: Path) -> None:
    text = path.read_text()
    assert format_document(parse(Source(str(path), text)).document) == text


@pytest.mark.parametrize("name", RUN)
def test_runs(name: str) -> None:
    net = load_net(EXAMPLES / name / "deploy.prototxt", "TEST")
    shape = net.blobs["data"].shape.known_sizes()
    with torch.inference_mode():
        outputs = build(net, seed=0).eval()(data=torch.rand(shape))
    (top,) = outputs.values()
    assert top.shape == (1, 10 if shape[2] < 100 else 1000)
    if not name.startswith("resnet"):  # BatchNorm without statistics divides by almost 0
        assert float(top.sum()) == pytest.approx(1, abs=1e-5)
