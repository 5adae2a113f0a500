"""Do the solver fields that are netdef's own do what protos/netdef.proto says?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from netdef.diagnostics import NetdefError
from netdef.graph import Options
from netdef.report.check import check_file
from netdef.solver import events as ev
from netdef.solver.factors import ParamRule
from netdef.solver.loop import Solver
from netdef.solver.watched import Standing, Watch
from netdef.targets.torch import tensors
from netdef.weights import read_weights
from tests.solver import small_run

PLAIN = small_run.SOLVER.replace("iter_size: 2", "").replace("snapshot: 5", "snapshot: 4").replace("20", "8")
TESTED = small_run.SOLVER.replace("test_iter: 2 test_interval: 6", "test_iter: 25 test_interval: 2")
"""Its tests go through all the data, so that their scores depend on the weights alone."""


def solve(path: Path) -> tuple[Solver, list[ev.Event]]:
    events: list[ev.Event] = []
    with Solver(path, observers=[events.append]) as solver:
        solver.solve()
    return solver, events


def params(solver: Solver) -> dict[str, torch.Tensor]:
    return {name: t.detach().clone() for name, t in tensors(solver.net, solver.run.train.graph).items()}


def outputs(value: float, name: str = "accuracy", weight: float = 0.0) -> list[ev.Output]:
    return [ev.Output(name, np.array(value), weight)]


# Watched outputs


@pytest.mark.parametrize(
    ("watch", "weight", "values", "better"),
    [
        (Watch("a"), 0.0, [0.1, 0.3, 0.3, 0.2, 0.4], [1, 1, 0, 0, 1]),
        (Watch("a"), 1.0, [0.3, 0.4, 0.3, 0.2], [1, 0, 0, 1]),
        (Watch("a", mode="MIN"), 0.0, [0.3, 0.4, 0.2], [1, 0, 1]),
        (Watch("a", mode="MAX"), 1.0, [0.3, 0.4, 0.2], [1, 1, 0]),
        (Watch("a", min_change=0.1), 0.0, [0.3, 0.35, 0.45], [1, 0, 1]),
        (Watch("a"), 0.0, [0.33333334, 0.33333337, 0.3334], [1, 0, 1]),
        (Watch("a"), 0.0, [float("nan"), 0.1, float("nan")], [0, 1, 0]),
    ],
    ids=["auto_max", "auto_min_for_a_loss", "min", "max", "min_change", "rounding", "nan"],
)
def test_better(watch: Watch, weight: float, values: list[float], better: list[int]) -> None:
    standing = Standing(watch)
    assert [standing.judge(outputs(v, "a", weight), i) for i, v in enumerate(values)] == [bool(b) for b in better]


def test_plateau_is_torchs(tmp_path: Path) -> None:
    """Against ReduceLROnPlateau, which acts on the test after its patience."""
    text = TESTED.replace("multistep", "plateau")
    more = 'min_lr: 0.002 plateau { output: "accuracy" patience: 2 mode: MAX }'
    rng = np.random.default_rng(4)
    scores = rng.choice([0.2, 0.3, 0.4, 0.5], 30)
    weight = torch.zeros(1, requires_grad=True)
    oracle_optimizer = torch.optim.SGD([weight], lr=0.02)
    oracle = lr_scheduler.ReduceLROnPlateau(
        oracle_optimizer, mode="max", factor=0.5, patience=1, threshold=0, threshold_mode="abs", min_lr=0.002
    )
    with Solver(small_run.make(tmp_path, more, solver=text)) as solver:
        for score in scores:
            assert solver.lr == pytest.approx(oracle_optimizer.param_groups[0]["lr"], rel=1e-6)
            oracle.step(score)
            solver._tests.judge([type("Score", (), {"outputs": outputs(score)})()])
    assert solver.lr == pytest.approx(0.002)


def test_early_stop_keeps_the_best(tmp_path: Path) -> None:
    text = TESTED.replace("max_iter: 20", "max_iter: 400")
    more = 'early_stop { output: "accuracy" patience: 3 }'
    solver, events = solve(small_run.make(tmp_path, more, solver=text))
    scores = {e.iteration: e.outputs[0].mean for e in events if isinstance(e, ev.Tested)}
    best = max(scores, key=lambda i: (scores[i], -i))
    assert solver.iter == best + 3 * 2 < 400
    (end,) = [e for e in events if isinstance(e, ev.StoodStill)]
    assert (end.best, end.at, end.rate) == (scores[best], best, None)
    kept = [e for e in events if isinstance(e, ev.Best)]
    assert (kept[-1].iteration, kept[-1].value) == (best, scores[best])
    assert (tmp_path / f"out/snap_iter_{solver.iter}.solverstate").exists()
    # The kept weights give the score that they were kept for.
    with Solver(tmp_path / "solver.prototxt", weights=[tmp_path / "out/snap_best.caffemodel"]) as again:
        assert again.test_all()[0].outputs[0].mean == pytest.approx(scores[best], rel=1e-6)
    assert not list((tmp_path / "out").glob(".*"))


def test_a_stopped_run_stays_stopped(tmp_path: Path) -> None:
    text = TESTED.replace("max_iter: 20", "max_iter: 400")
    more = 'early_stop { output: "accuracy" patience: 2 }'
    path = small_run.make(tmp_path, more, solver=text)
    first, _ = solve(path)
    with Solver(path) as solver:
        solver.restore(tmp_path / f"out/snap_iter_{first.iter}.solverstate")
        solver.solve()
        assert solver.iter == first.iter


def test_an_output_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NetdefError) as failure:
        Solver(small_run.make(tmp_path, 'early_stop { output: "acuracy" }'))
    (fault,) = failure.value.diagnostics
    assert (fault.code, fault.help) == ("ND0716", ('did you mean "accuracy"?',))
    assert fault.span is not None
    assert fault.span.text == '"acuracy"'


# The average of the weights


def test_ema_is_torchs(tmp_path: Path) -> None:
    with Solver(small_run.make(tmp_path, "ema_decay: 0.75")) as solver:
        held = torch.nn.ParameterList(list(params(solver).values()))
        oracle = AveragedModel(held, multi_avg_fn=get_ema_multi_avg_fn(0.75))
        oracle.update_parameters(held)  # the first time it copies
        for _ in range(5):
            solver.step(1)
            oracle.update_parameters(torch.nn.ParameterList(list(params(solver).values())))
        before = params(solver)
        assert solver.run.average is not None
        with solver.run.average.in_place():
            averaged = params(solver)
        for found, expected in zip(averaged.values(), oracle.module, strict=True):
            torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-7)
        assert all(torch.equal(w, before[name]) for name, w in params(solver).items())


def test_tests_and_files_use_the_average(tmp_path: Path) -> None:
    """The file of averages, loaded as weights into a run without an average, scores as the run itself did."""
    with Solver(small_run.make(tmp_path, "ema_decay: 0.9", solver=TESTED)) as solver:
        solver.step(5)
        solver.snapshot()
        place = next((tmp_path / "out").glob("*_iter_5_ema.caffemodel"))
        averages = solver.test_all()[0]
    (tmp_path / "plain").mkdir()
    path = small_run.make(tmp_path / "plain", solver=TESTED)
    with Solver(path, weights=[place]) as plain:
        assert plain.test_all()[0].outputs[1].mean == pytest.approx(averages.outputs[1].mean, rel=1e-5)
    with Solver(path, weights=[tmp_path / "out/snap_iter_5.caffemodel"]) as plain:
        assert plain.test_all()[0].outputs[1].mean != pytest.approx(averages.outputs[1].mean, rel=1e-3)


def test_a_snapshot_without_averages_is_told(tmp_path: Path) -> None:
    path = small_run.make(tmp_path, solver=PLAIN)
    solve(path)
    path.write_text(path.read_text() + "ema_decay: 0.9")
    events: list[ev.Event] = []
    with Solver(path, observers=[events.append]) as solver:
        solver.restore(tmp_path / "out/snap_iter_4.solverstate")
        now = params(solver)
        assert solver.run.average is not None
        with solver.run.average.in_place():
            assert all(torch.equal(w, now[name]) for name, w in params(solver).items())
    assert [e.diagnostic.code for e in events if isinstance(e, ev.Warned)] == ["ND0807"]


# Layers by name


def test_param_rules(tmp_path: Path) -> None:
    rules = 'param_rule { layer: "*" lr_mult: 0 } param_rule { layer: "i?" lr_mult: 10 decay_mult: 0.5 }'
    with Solver(small_run.make(tmp_path, rules)) as solver:
        found = solver.run.train.graph.params
        assert {p.id: (p.lr_mult, p.decay_mult) for p in found.values() if "bn" not in p.id} == {
            "conv.weight": (0, 1),
            "conv.bias": (0, 1),
            "ip.weight": (10, 0.5),
            "ip.bias": (10, 0.5),
        }
        before = params(solver)
        solver.step(2)
        moved = [name for name, w in params(solver).items() if not torch.equal(w, before[name])]
        assert [name for name in moved if "bn" not in name] == ["ip.weight", "ip.bias"]


def test_a_rule_for_no_layer(tmp_path: Path) -> None:
    with pytest.raises(NetdefError) as failure:
        Solver(small_run.make(tmp_path, 'param_rule { layer: "convv" lr_mult: 0 } param_rule { layer: "x*" }'))
    assert [(d.code, d.span and d.span.text) for d in failure.value.diagnostics] == [
        ("ND0715", '"convv"'),
        ("ND0715", '"x*"'),
    ]
    assert failure.value.diagnostics[0].help == ('did you mean "conv"?',)


def test_check_finds_what_does_not_fit_the_nets(tmp_path: Path) -> None:
    more = 'param_rule { layer: "konv" } early_stop { output: "acuracy" }'
    findings = check_file(str(small_run.make(tmp_path, more)), Options())
    assert [(d.code, d.span and d.span.text) for d in findings.diagnostics] == [
        ("ND0715", '"konv"'),
        ("ND0716", '"acuracy"'),
    ]


def test_all_frozen(tmp_path: Path) -> None:
    """`check` knows it too; a later rule that lets a layer learn makes it good."""
    path = small_run.make(tmp_path, 'param_rule { layer: "*" lr_mult: 0 }')
    with pytest.raises(NetdefError) as failure:
        Solver(path)
    for found in (failure.value.diagnostics, check_file(str(path), Options()).diagnostics):
        assert [(d.code, d.span and d.span.text) for d in found] == [("ND0712", '"*"')]
    thawed = small_run.make(tmp_path, 'param_rule { layer: "*" lr_mult: 0 } param_rule { layer: "ip" }')
    assert not check_file(str(thawed), Options()).diagnostics


def test_check_knows_a_deploy_net(tmp_path: Path) -> None:
    net = small_run.NET.partition('layer {{ name: "loss"')[0]
    found = check_file(str(small_run.make(tmp_path, net=net)), Options()).diagnostics
    assert [(d.code, d.span and d.span.text) for d in found] == [("ND0712", f'"{tmp_path}/net.prototxt"')]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [("conv*", "conv1", True), ("conv*", "Conv1", False), ("fc[67]", "fc7", True), ("fc?", "fc", False)],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert ParamRule(pattern).matches(name) is matches


# Caffe's debug_info and snapshot_diff


def test_debug_info(tmp_path: Path) -> None:
    """The norms of the last layer, computed from its formula: the gradient of a softmax loss is (p - onehot) / N."""
    text = PLAIN.replace('"Adam"', '"SGD"') + "debug_info: true display: 4"
    with Solver(small_run.make(tmp_path, solver=text)) as solver:
        events: list[ev.Event] = []
        solver.observers.append(events.append)
        solver.step(1)
        said = [e.lines for e in events if isinstance(e, ev.Debugged)]
        labels = solver.run.train.batch["label"].long().flatten()
        assert solver.run.train.sight
        scores = solver.run.train.sight.values["ip"].detach()
    slope = (torch.softmax(scores, 1) - torch.eye(3)[labels]) / 7
    assert f"    [Backward] Layer loss, bottom blob ip diff: {slope.abs().mean():.6g}" in said[0]
    bias = slope.sum(0).abs().mean()
    (line,) = [line for line in said[0] if line.startswith("    [Backward] Layer ip, param blob 1 diff: ")]
    assert float(line.rpartition(" ")[2]) == pytest.approx(float(bias), rel=1e-4)
    assert said[0][0].startswith("    [Forward] Layer data, top blob data data: ")
    assert re.fullmatch(
        r"    \[Backward\] All net params \(data, diff\): L1 norm = \(\S+, \S+\); L2 norm = \(\S+, \S+\)", said[0][-1]
    )
    assert not any("label diff" in line or "bn, param blob 0 diff" in line for line in said[0])


def test_debug_info_calls_a_named_parameter_as_caffe_does(tmp_path: Path) -> None:
    """By its name on the way forward, by its number on the way back (net.cpp, ForwardDebugInfo, BackwardDebugInfo)."""
    net = small_run.NET.replace('bottom: "conv" top: "ip"', 'bottom: "conv" top: "ip" param {{ name: "shared" }}')
    events: list[ev.Event] = []
    path = small_run.make(tmp_path, solver=PLAIN + "debug_info: true display: 4", net=net)
    with Solver(path, observers=[events.append]) as solver:
        solver.step(1)
    said = [line for e in events if isinstance(e, ev.Debugged) for line in e.lines]
    assert any(line.startswith("    [Forward] Layer ip, param blob shared data: ") for line in said)
    assert any(line.startswith("    [Backward] Layer ip, param blob 0 diff: ") for line in said)


def test_debug_info_changes_nothing(tmp_path: Path) -> None:
    path = small_run.make(tmp_path, solver=PLAIN)
    quiet = params(solve(path)[0])
    path.write_text(path.read_text() + "debug_info: true display: 3")
    told, events = solve(path)
    assert len([e for e in events if isinstance(e, ev.Debugged)]) == 3
    for name, weight in params(told).items():
        torch.testing.assert_close(weight, quiet[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("format", ["BINARYPROTO", "HDF5"])
def test_snapshot_diff(tmp_path: Path, format: str) -> None:
    """The diff of a snapshot is what its last update subtracted, as in Caffe."""
    text = PLAIN + f"snapshot_diff: true snapshot_format: {format}"
    with Solver(small_run.make(tmp_path, solver=text)) as solver:
        solver.step(3)
        before = params(solver)
        solver.step(1)
        place = solver.snapshot()
        after = params(solver)
    change = (before["ip.weight"] - after["ip.weight"]).numpy()
    np.testing.assert_array_equal(_diff(place.weights, "ip"), change)
    read_weights(place.weights)


def test_the_best_weights_have_no_diff(tmp_path: Path) -> None:
    """A resumed run, which knows of no last update, would write another file."""
    solve(small_run.make(tmp_path, 'snapshot_diff: true early_stop { output: "loss" }', solver=PLAIN))
    assert _diff(tmp_path / "out/snap_iter_4.caffemodel", "ip").any()
    with pytest.raises(ValueError, match="size 0"):
        _diff(tmp_path / "out/snap_best.caffemodel", "ip")


def _diff(path: Path, layer: str) -> Any:
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            return file[f"diff/{layer}/0"][()]
    from netdef.schema import netdef_pb2 as pb

    net = pb.NetParameter.FromString(path.read_bytes())
    (blob,) = [one.blobs[0] for one in net.layer if one.name == layer]
    return np.array(blob.diff, np.float32).reshape(list(blob.shape.dim))


def test_test_compute_loss_and_means(tmp_path: Path) -> None:
    path = small_run.make(tmp_path, "test_compute_loss: true", solver=PLAIN)
    _, events = solve(path)
    tested = [e for e in events if isinstance(e, ev.Tested)]
    assert all(e.loss == pytest.approx(next(o.mean for o in e.outputs if o.name == "loss"), rel=1e-6) for e in tested)
