"""Does the check pass right gradients, find wrong ones, and tell kinks from faults?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from netdef.cli import main
from netdef.diagnostics import Source
from netdef.graph import Options, load
from netdef.layers import registry
from netdef.report.gradcheck import Check, check_gradients
from tests.golden_cases import GOLDEN, cases, prototxt
from tests.report.wrong_layer import WrongSquare

HEAD = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
"""


def found(layers: str) -> list[Check]:
    return list(check_gradients(load(Source("net.prototxt", HEAD + layers), Options(phase="TRAIN"))))


@pytest.mark.parametrize("name", ["lenet", "lstm_caption", "legacy_v1", "phase_rules"])
def test_golden_nets_agree(name: str) -> None:
    graph = load(GOLDEN / f"nets/{name}/net.prototxt", Options(phase="TRAIN"))
    checks = list(check_gradients(graph, samples=4))
    assert {check.verdict for check in checks} <= {"agrees", "kink"}
    assert max(check.error for check in checks) < 1e-5
    learning = [node.id for node in graph.nodes if node.params]
    assert [name for name in learning if name not in {check.layer for check in checks}] == []


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WrongSquare, "type", "WrongSquare", raising=False)
    monkeypatch.setitem(registry(), "WrongSquare", WrongSquare)


def test_half_a_gradient_parts(wrong: None) -> None:
    (*right, bad, whole) = found('layer { name: "sq" type: "WrongSquare" bottom: "c" top: "sq" }')
    assert {check.verdict for check in right} == {"agrees"}
    assert (bad.layer, bad.tensor, bad.verdict) == ("sq", "c", "parts")
    assert bad.error == pytest.approx(0.5, rel=1e-3)
    assert bad.analytic == pytest.approx(bad.numeric / 2, rel=1e-3)
    assert bad.kinks == 0
    assert (whole.layer, whole.tensor, whole.verdict) == ("in one go", "conv.weight", "parts")


def test_the_lowest_point_of_a_curve_is_no_kink(wrong: None) -> None:
    tiny = 'layer { name: "tiny" type: "Power" bottom: "c" top: "t" power_param { scale: 1e-6 } }'
    bad = found(f'{tiny}\nlayer {{ name: "sq" type: "WrongSquare" bottom: "t" top: "sq" }}')[-2]
    assert (bad.layer, bad.tensor, bad.verdict, bad.kinks) == ("sq", "t", "parts", 0)
    assert bad.error == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param('type: "ReLU"', id="relu at 0"),
        pytest.param('type: "ELU" elu_param { alpha: 2 }', id="a steep ELU at 0"),
        pytest.param('type: "Pooling" pooling_param { kernel_size: 2 stride: 1 }', id="a maximum's ties"),
    ],
)
def test_kinks_are_told_and_are_no_faults(layer: str) -> None:
    zeros = 'layer { name: "zero" type: "Power" bottom: "c" top: "z" power_param { scale: 0 } }'
    last = found(f'{zeros}\nlayer {{ name: "bend" {layer} bottom: "z" top: "b" }}')[-2]
    assert (last.layer, last.verdict) == ("bend", "kink")
    assert last.kinks == last.directions


def test_dropout_holds_still() -> None:
    last = found('layer { name: "drop" type: "Dropout" bottom: "c" top: "d" }')[-2]
    assert (last.layer, last.verdict) == ("drop", "agrees")


def test_command_fails_with_a_table(
    wrong: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(HEAD + 'layer { name: "sq" type: "WrongSquare" bottom: "c" top: "sq" }')
    monkeypatch.setattr(sys, "argv", ["netdef", "gradcheck", str(path)])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert end.value.code == 1
    assert "2 of 4 gradients agree" in out
    assert "PARTS" in out
    assert 'error[ND0032]: WrongSquare "sq"' in err


FUSED = """layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "sc" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }"""


def test_fused_layers_agree_as_a_whole() -> None:
    last = found(FUSED)[-1]
    assert (last.layer, last.type, last.tensor, last.verdict) == ("in one go", "", "conv.weight", "agrees")


@pytest.mark.slow
@pytest.mark.parametrize("case", cases("layers"), ids=lambda case: case["name"])
def test_every_golden_layer_agrees(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prototxt(case).parent)
    graph = load(prototxt(case), Options(phase=case["phase"]))
    assert [check for check in check_gradients(graph, samples=4) if check.verdict == "parts"] == []
