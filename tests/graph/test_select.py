"""Which layers take part: Caffe's rules of inclusion, case by case."""

from typing import Literal

import pytest

from netdef.diagnostics import Source
from netdef.graph import Options, check
from tests.graph.compiling import compiled, finding, graph

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'

RULES = [
    ("no_rule", "", Options(), True),
    ("include_phase_holds", "include { phase: TEST }", Options(phase="TEST"), True),
    ("include_phase_fails", "include { phase: TEST }", Options(phase="TRAIN"), False),
    ("exclude_phase_holds", "exclude { phase: TEST }", Options(phase="TEST"), False),
    ("exclude_phase_fails", "exclude { phase: TEST }", Options(phase="TRAIN"), True),
    ("two_includes_are_ored", "include { phase: TRAIN } include { stage: 'a' }", Options(stages=("a",)), True),
    ("two_excludes_are_ored", "exclude { phase: TRAIN } exclude { stage: 'a' }", Options(stages=("a",)), False),
    ("conditions_are_anded", "include { phase: TEST stage: 'a' }", Options(phase="TEST"), False),
    ("all_stages_needed", "include { stage: 'a' stage: 'b' }", Options(stages=("a",)), False),
    ("all_stages_there", "include { stage: 'a' stage: 'b' }", Options(stages=("b", "c", "a")), True),
    ("not_stage_there", "include { not_stage: 'a' }", Options(stages=("a",)), False),
    ("not_stage_absent", "include { not_stage: 'a' }", Options(stages=("b",)), True),
    ("min_level_fails", "include { min_level: 2 }", Options(level=1), False),
    ("min_level_holds", "include { min_level: 2 }", Options(level=2), True),
    ("max_level_fails", "include { max_level: 2 }", Options(level=3), False),
    ("level_of_the_net_is_0", "include { min_level: 1 }", Options(), False),
]


@pytest.mark.parametrize(("rules", "options", "kept"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_rules(rules: str, options: Options, kept: bool) -> None:
    text = INPUT + f'layer {{ name: "r" type: "ReLU" bottom: "x" top: "y" {rules} }}'
    assert ("r" in graph(text, options).layers) is kept


def test_phase_of_the_net_itself() -> None:
    assert graph("state { phase: TRAIN }" + INPUT).phase == "TRAIN"
    assert graph(INPUT).phase == "TEST"
    assert graph("state { phase: TRAIN }" + INPUT, Options(phase="TEST")).phase == "TEST"


def test_include_and_exclude_together() -> None:
    text = INPUT + 'layer { name: "r" type: "ReLU" bottom: "x" top: "y" include { level: 1 } }'.replace(
        "level: 1", "min_level: 0"
    ).replace("} }", "} exclude { phase: TRAIN } }")
    found = finding(text, "ND0313")
    assert 'layer "r" has both `include` and `exclude`' in found.message


@pytest.mark.parametrize(("phase", "warned"), [("TRAIN", True), ("TEST", False)])
def test_a_layers_own_phase_chooses_nothing(phase: Literal["TRAIN", "TEST"], warned: bool) -> None:
    result = compiled(
        INPUT + 'layer { name: "d" type: "Dropout" bottom: "x" top: "y" phase: TEST }', Options(phase=phase)
    )
    assert result.graph is not None
    assert "d" in result.graph.layers
    assert [(d.code, d.severity.value, d.span.text) for d in result.diagnostics if d.span] == (
        [("ND0317", "warning", "phase")] if warned else []
    )


def layer(name: str, bottom: str, top: str, rules: str = "") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top}" {rules} }}\n'


GUESSED = [
    pytest.param(layer("a", "x", "y", "include { phase: TEST }") + layer("b", "y", "z"), ["warning"], id="deploy"),
    pytest.param(
        layer("a", "x", "y", "include { phase: TEST stage: 'val' }")
        + layer("a", "x", "y", "include { phase: TRAIN }")
        + layer("drop", "y", "y", "include { stage: 'drop' }")
        + layer("b", "y", "z"),
        [],
        id="stages that are not for all phases",
    ),
    pytest.param(
        layer("a", "x", "y", "include { phase: TEST }") + layer("b", "y", "z") + layer("c", "no", "d"),
        ["error", "error"],
        id="whole in no phase",
    ),
    pytest.param(
        layer("a", "x", "y", "include { phase: TEST }") + layer("b", "y", "z", "include { phase: TRAIN }"),
        ["warning"],
        id="another phase's blob",
    ),
    pytest.param(
        layer("a", "x", "y") + layer("b", "q", "z", "include { phase: TRAIN }"), ["error"], id="nobody's blob"
    ),
]


@pytest.mark.parametrize(("text", "severities"), GUESSED)
def test_a_net_need_not_be_whole_in_phases_that_are_guessed(text: str, severities: list[str]) -> None:
    found = check(Source("net", INPUT + text), Options()).diagnostics
    assert [(d.code, d.severity.value) for d in found] == [("ND0302", severity) for severity in severities]


def test_a_phase_that_is_asked_for_must_be_whole() -> None:
    text = INPUT + layer("a", "x", "y", "include { phase: TEST }") + layer("b", "y", "z")
    assert [d.severity.value for d in check(Source("net", text), Options(phase="TRAIN")).diagnostics] == ["error"]
