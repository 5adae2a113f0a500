"""Does `netdef check` say everything that is wrong, in every form, and mend what it can?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from netdef.cli.check import command

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 64 dim: 1 dim: 115 dim: 115 } } }'
POOL = 'layer { name: "pool1" type: "Pooling" bottom: "data" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }'
CONV = (
    'layer { name: "conv2" type: "Convolution" bottom: "data" top: "conv2" '
    "convolution_param { num_output: 1 kernel_size: 4 stride: 2 } }"
)
SUM = 'layer {\n  name: "sum"\n  bottom: "pool1"\n  type: "Eltwise"\n  top: "sum"\n\n  bottom: "conv2"\n}'
CLASH = """\
error[ND0304]: Eltwise inputs differ at axis 2: 57 and 56
  --> train_val.prototxt:88:11
   |
84 |   bottom: "pool1"
   |           ------- 64x1x57x57, from Pooling "pool1" (line 41: kernel 3, stride 2, rounds up)
88 |   bottom: "conv2"
   |           ^^^^^^^ 64x1x56x56
   = help: Caffe's pooling rounds up; set `round_mode: FLOOR` in "pool1" to round down
1 file: 1 error
"""


def laid_out(pieces: dict[int, str]) -> str:
    """A text with each piece beginning at its line."""
    lines: list[str] = []
    for number, piece in pieces.items():
        lines += [""] * (number - 1 - len(lines)) + piece.split("\n")
    return "\n".join(lines) + "\n"


def check(*args: str | Path) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args], catch_exceptions=False)


def found(*args: str | Path) -> list[tuple[str, int, int]]:
    """Code, line and column of each finding, in the order they are told."""
    told = json.loads(check(*args, "--format", "json").stdout)["diagnostics"]
    return [(d["code"], d["place"]["start"]["line"], d["place"]["start"]["column"]) for d in told]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clash() -> Path:
    """A net whose two branches differ by one, with both ends at known lines."""
    path = Path("train_val.prototxt")
    path.write_text(laid_out({1: DATA, 41: POOL, 60: CONV, 82: SUM}))
    return path


def test_both_shapes_and_where_they_come_from(clash: Path) -> None:
    result = check(clash)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", CLASH)


MISTAKES = (
    ("a value is missing", 'layer { name: "x" type: "Split" bottom: "data" top: }', "ND0107", 51),
    ("an unknown field", 'layer { name: "x" type: "ReLU" botom: "data" top: "x" }', "ND0201", 32),
    ("a wrong kind", 'layer { name: "x" type: "ReLU" bottom: "data" top: "x" loss_weight: "a" }', "ND0202", 69),
    (
        "an enum",
        'layer { name: "x" type: "Pooling" bottom: "data" top: "x" pooling_param { pool: MIX } }',
        "ND0204",
        81,
    ),
    (
        "out of range",
        'layer { name: "x" type: "LRN" bottom: "data" top: "x" lrn_param { local_size: -5 } }',
        "ND0205",
        79,
    ),
    ("given twice", 'layer { name: "x" name: "y" type: "ReLU" bottom: "data" top: "x" }', "ND0206", 19),
    ("an unknown type", 'layer { name: "a" type: "Relu" bottom: "data" top: "a" }', "ND0301", 25),
    ("an unknown bottom", 'layer { name: "b" type: "ReLU" bottom: "date" top: "b" }', "ND0302", 40),
    ("a top produced twice", 'layer { name: "c" type: "ReLU" bottom: "data" top: "pool1" }', "ND0303", 52),
    ("arity", 'layer { name: "d" type: "ReLU" bottom: "data" bottom: "pool1" top: "d" }', "ND0305", 55),
    (
        "a parameter",
        'layer { name: "e" type: "Dropout" bottom: "data" top: "e" dropout_param { dropout_ratio: 1.5 } }',
        "ND0457",
        90,
    ),
)


@pytest.mark.parametrize(("layer", "code", "column"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_each_mistake_alone(layer: str, code: str, column: int) -> None:
    """One diagnostic each, at the token at fault."""
    Path("net.prototxt").write_text("\n".join((DATA, POOL, layer)))
    assert found("net.prototxt") == [(code, 3, column)]


@pytest.mark.parametrize("stage", ["ND01 ND02", "ND03 ND04"])
def test_all_mistakes_of_a_stage_in_one_run(stage: str) -> None:
    mistakes = [(layer, code) for _, layer, code, _ in MISTAKES if code[:4] in stage]
    Path("net.prototxt").write_text("\n".join((DATA, POOL, *(layer for layer, _ in mistakes))))
    told = [(code, line) for code, line, _ in found("net.prototxt")]
    assert told == [(code, line) for line, (_, code) in enumerate(mistakes, 3)]


SOLVER = 'net: "net.prototxt"\nbase_lr: 0.1\nlr_policy: "fixed"\nmax_iter: 10\n'
LOSS = """\
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_a_solver_and_its_net_are_right() -> None:
    Path("net.prototxt").write_text(LOSS)
    Path("solver.prototxt").write_text(SOLVER)
    result = check("solver.prototxt")
    assert (result.exit_code, result.stderr) == (0, "1 file: all good\n")


def test_a_solver_is_checked_with_its_net() -> None:
    Path("net.prototxt").write_text(LOSS.replace('bottom: "ip" bottom', 'bottom: "ipp" bottom'))
    Path("solver.prototxt").write_text(SOLVER)
    result = check("solver.prototxt", "--format", "json")
    (told,) = json.loads(result.stdout)["diagnostics"]
    assert (result.exit_code, told["code"], told["place"]["file"]) == (1, "ND0302", "net.prototxt")
    assert told["help"] == ['did you mean "ip"?']


def test_mistakes_of_a_solver_and_of_its_net_in_one_run() -> None:
    Path("net.prototxt").write_text(LOSS.replace('"InnerProduct"', '"InerProduct"'))
    Path("solver.prototxt").write_text(SOLVER + "test_iter: 5\n")
    told = json.loads(check("solver.prototxt", "--format", "json").stdout)["diagnostics"]
    assert {d["place"]["file"] for d in told} == {"solver.prototxt", "net.prototxt"}


def test_several_files_and_those_that_cannot_be_read() -> None:
    Path("net.prototxt").write_text(LOSS)
    Path("folder").mkdir()
    Path("binary").write_bytes(b"\x0a\x00\x01")
    result = check("net.prototxt", "none.prototxt", "folder", "binary")
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.stderr.splitlines() if line.startswith("error")] == [
        "error[ND0010]",
        "error[ND0011]",
        "error[ND0014]",
    ]
    assert result.stderr.endswith("4 files: 3 errors\n")


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own refusal cannot be had by root, so it is made here."""
    Path("net.prototxt").write_text(LOSS)

    def refuse(path: str) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("netdef.schema.read._content", refuse)
    result = check("net.prototxt")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (1, "error[ND0012]: no permission to read net.prototxt")


def test_fix_mends_until_nothing_is_left() -> None:
    path = Path("net.prototxt")
    path.write_text(LOSS.replace('"InnerProduct"', '"InerProduct"').replace("num_output", "num_outptu"))
    assert check(path).exit_code == 1
    result = check(path, "--fix")
    assert result.exit_code == 0, result.stderr
    assert path.read_text() == LOSS
    assert result.stderr.endswith("1 file: all good\n")


def test_fix_leaves_what_is_right(clash: Path) -> None:
    before = clash.read_bytes()
    assert check(clash, "--fix").exit_code == 1
    assert clash.read_bytes() == before


def test_the_graph_of_a_right_net() -> None:
    Path("net.prototxt").write_text(DATA + POOL)
    assert "64x1x57x57" in check("net.prototxt", "--dump", "--phase", "TEST").stdout


def test_sizes_of_an_absent_database() -> None:
    """Clashes that only the sizes show come with `--shape`."""
    data = 'layer { name: "data" type: "Data" top: "data" data_param { source: "none" batch_size: 2 } }\n'
    crop = CONV.replace("kernel_size: 4", "kernel_size: 9")
    Path("net.prototxt").write_text(data + crop)
    assert [code for code, *_ in found("net.prototxt")] == ["ND0501"]
    assert "error" not in check("net.prototxt").stderr
    assert check("net.prototxt", "--shape", "data=2x1x12x12").exit_code == 0
    assert check("net.prototxt", "--shape", "data=2x1x4x4").exit_code == 1
    assert check("net.prototxt", "--shape", "data").exit_code == 2


# SARIF 2.1.0, sections 3.13 to 3.30: the properties that must be there, and their types.


def test_sarif_has_what_its_schema_requires(clash: Path) -> None:
    log = json.loads(check(clash, "none.prototxt", "--format", "sarif").stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["ND0010", "ND0304"]
    assert isinstance(run["tool"]["driver"]["name"], str)
    for result in run["results"]:
        _is_result(result, rules)
    assert run["results"][0]["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 88,
        "startColumn": 11,
        "endLine": 88,
        "endColumn": 18,
    }


def _is_result(result: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert result["level"] in {"none", "note", "warning", "error"}
    assert isinstance(result["message"]["text"], str)
    for location in (*result.get("locations", ()), *result.get("relatedLocations", ())):
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uri"]
        assert all(isinstance(value, int) and value >= 1 for value in place["region"].values())


def test_github_annotates_the_line(clash: Path) -> None:
    (line,) = check(clash, "--format", "github").stdout.splitlines()
    assert line.startswith("::error file=train_val.prototxt,line=88,endLine=88,col=11,endColumn=18,title=ND0304::")


def test_only_the_sum_goes_to_people(clash: Path) -> None:
    for form in ("json", "sarif", "github"):
        assert check(clash, "--format", form).stderr == ""
