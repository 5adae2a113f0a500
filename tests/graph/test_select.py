"""Which layers take part: Caffe's rules of inclusion, case by case."""

from typing import Literal

import pytest

from netdef.graph import Options
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
