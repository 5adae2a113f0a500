"""Does `netdef weights` show, compare and convert, for people and for programs?"""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from netdef.cli.weights import command
from netdef.diagnostics import NetdefError
from netdef.schema import weights_pb2 as pb
from netdef.weights import LayerWeights, read_solverstate, read_weights, write_run_state, write_weights

GOLDEN = Path(__file__).parents[1] / "golden"
LENET = str(GOLDEN / "nets/lenet/weights.caffemodel")


def run(*args, code=0):
    result = CliRunner().invoke(command, [str(arg) for arg in args])
    if isinstance(result.exception, NetdefError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def arrays(path):
    with np.load(GOLDEN / path) as case:
        return dict(case)


def as_json(*args, code=0):
    return json.loads(run(*args, "--format", "json", code=code), parse_constant=pytest.fail)


def test_show_table():
    lines = run("show", LENET).splitlines()
    assert lines[0] == "kind: weights  format: caffemodel  net: lenet  layers: 9  parameters: 5780"
    assert lines[1].split() == ["layer", "type", "blob", "shape", "dtype", "mean", "std", "min", "max", "nan", "inf"]
    assert lines[2].split()[:5] == ["conv1", "Convolution", "0", "6x1x5x5", "float32"]


def test_show_json_against_numpy():
    case = arrays("nets/lenet/case.npz")
    for row in as_json("show", LENET)["blobs"]:
        data = case[f"param.{row['layer']}.{row['blob']}"].astype(np.float64)
        assert row["shape"] == list(data.shape)
        for name in ("mean", "std", "min", "max"):
            assert row[name] == pytest.approx(float(getattr(data, name)()), rel=1e-9, abs=1e-12)


def test_show_counts_what_is_not_finite(tmp_path):
    data = np.float32([1, np.nan, 3, np.inf, -np.inf])
    write_weights(tmp_path / "w.h5", [LayerWeights("l", "", (data, data[1:2]))])
    first, second = as_json("show", tmp_path / "w.h5")["blobs"]
    assert (first["mean"], first["std"], first["nan"], first["inf"]) == (2, 1, 1, 2)
    assert (second["mean"], second["min"], second["nan"]) == (None, None, 1)


def test_show_other_kinds(tmp_path):
    state = as_json("show", GOLDEN / "snapshots/adam_binaryproto/snap_iter_15.solverstate")
    assert (state["kind"], state["iter"], len(state["blobs"])) == ("solver state", 15, 8)
    mean = as_json("show", GOLDEN / "transforms/data/mean.binaryproto")
    assert (mean["kind"], len(mean["blobs"])) == ("single blob", 1)
    write_run_state(tmp_path / "r", {"rng": np.arange(3)}, {"loss": float("nan")})
    assert as_json("show", tmp_path / "r")["values"] == {"loss": None}


def test_show_run_state_line_by_line(tmp_path):
    write_run_state(tmp_path / "r", {"rng": np.arange(3)}, {"iteration": 7, "data": {"train": {"batch": 14}}})
    said = run("show", tmp_path / "r").splitlines()
    assert said[:3] == ["kind: run state", "iteration: 7", 'data: {"train": {"batch": 14}}']


def test_show_keeps_control_characters_from_the_terminal(tmp_path):
    write_weights(tmp_path / "w.caffemodel", [LayerWeights("\x1b[31mred [b]x[/b]", "", (np.float32([1]),))])
    output = run("show", tmp_path / "w.caffemodel")
    assert "\x1b" not in output
    assert "\\x1b[31mred [b]x[/b]" in output


def test_diff_of_equal_files(tmp_path):
    write_weights(tmp_path / "w.safetensors", read_weights(LENET).layers)
    assert run("diff", LENET, tmp_path / "w.safetensors") == "no difference\n"


def test_diff(tmp_path):
    one, other = tmp_path / "1.caffemodel", tmp_path / "2.h5"
    write_weights(
        one, [LayerWeights("a", "", (np.float32([1, 2]), np.float32([4]))), LayerWeights("b", "", (np.float32([1]),))]
    )
    write_weights(
        other,
        [LayerWeights("a", "", (np.float32([1, 2.5]), np.float32([[4]]))), LayerWeights("c", "", (np.float32([1]),))],
    )
    found = {(r["layer"], r["blob"]): r for r in as_json("diff", one, other, code=1)["differences"]}
    assert found["a", "0"]["max_abs"] == 0.5
    assert found["a", "0"]["max_rel"] == 0.2
    assert found["a", "1"]["difference"] == "shapes 1 and 1x1"
    assert found["b", "0"]["difference"] == f"only in {one}"
    assert found["c", "0"]["difference"] == f"only in {other}"
    assert "only in" in run("diff", one, other, code=1)


def test_diff_takes_four_old_axes_for_what_they_mean(tmp_path):
    rows = np.arange(6, dtype=np.float32)
    old, new, other = (tmp_path / f"{name}.caffemodel" for name in ("old", "new", "other"))
    blobs = [
        pb.BlobProto(num=1, channels=1, height=height, width=width, data=rows) for height, width in ((2, 3), (1, 6))
    ]
    old.write_bytes(pb.NetParameter(layer=[pb.Layer(name="a", blobs=blobs)]).SerializeToString())
    write_weights(new, [LayerWeights("a", "", (rows.reshape(2, 3), rows))])
    write_weights(other, [LayerWeights("a", "", (rows.reshape(3, 2), rows))])
    assert run("diff", old, new) == run("diff", new, old) == "no difference\n"
    assert "shapes 1x1x2x3 and 3x2" in run("diff", old, other, code=1)


def test_diff_within_tolerance(tmp_path):
    for name, value in (("1.h5", 1.0), ("2.h5", 1.001)):
        write_weights(tmp_path / name, [LayerWeights("a", "", (np.float32([value, np.nan]),))])
    run("diff", tmp_path / "1.h5", tmp_path / "2.h5", code=1)
    run("diff", tmp_path / "1.h5", tmp_path / "2.h5", "--rtol", "0.01")
    run("diff", tmp_path / "1.h5", tmp_path / "2.h5", "--atol", "0.01")


def test_convert_weights(tmp_path):
    output = run("convert", LENET, tmp_path / "w.safetensors")
    assert output == f"{tmp_path / 'w.safetensors'}: 4 layers, 8 blobs\n"
    run("convert", tmp_path / "w.safetensors", tmp_path / "w.caffemodel")
    run("diff", LENET, tmp_path / "w.caffemodel")


def test_convert_old_layout(tmp_path):
    run("convert", GOLDEN / "nets/legacy_v1/weights.caffemodel", tmp_path / "new.caffemodel")
    assert read_weights(tmp_path / "new.caffemodel").types == {"conv1": "Convolution", "ip1": "InnerProduct"}


def test_convert_state(tmp_path):
    source = GOLDEN / "snapshots/sgd_hdf5/snap_iter_15.solverstate.h5"
    run("convert", source, tmp_path / "s.solverstate")
    found, wanted = read_solverstate(tmp_path / "s.solverstate"), read_solverstate(source)
    assert (found.iter, found.learned_net) == (wanted.iter, wanted.learned_net)
    assert all(np.array_equal(a, b) for a, b in zip(found.history, wanted.history, strict=True))


def test_bad_input_is_a_diagnostic(tmp_path):
    with pytest.raises(NetdefError, match="ND0601"):
        run("show", tmp_path / "none")
    with pytest.raises(NetdefError, match="ND0616"):
        run("convert", LENET, tmp_path / "w.txt")
    with pytest.raises(NetdefError, match="ND0616"):
        run("convert", GOLDEN / "snapshots/sgd_hdf5/snap_iter_15.solverstate.h5", tmp_path / "w.caffemodel")
