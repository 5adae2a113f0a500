"""Is a run read right, from real Caffe's logs and from netdef's own files?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netdef.diagnostics import NetdefError
from netdef.report.history import read_histories, read_runs
from netdef.solver.events import Displayed
from netdef.solver.metrics import Metrics
from tests.golden_cases import GOLDEN, arrays, cases

LOGS = cases("logs")


@pytest.mark.parametrize("case", LOGS, ids=[case["name"] for case in LOGS])
def test_logs_of_caffe(case: dict[str, str]) -> None:
    held = arrays(case)
    (history,) = read_runs(GOLDEN / case["dir"] / "train.log")
    assert history.loss == pytest.approx(dict(zip(held["log.iter"].tolist(), held["log.loss"].tolist(), strict=True)))
    assert history.rate == pytest.approx(dict(zip(held["log.lr_iter"].tolist(), held["log.lr"].tolist(), strict=True)))
    tests = held["log.test_iter"].tolist()
    expected = dict(zip(tests, held["log.test.accuracy"].tolist(), strict=True))
    assert history.scores == {"accuracy": pytest.approx(expected)}
    expected = dict(zip(tests, held["log.test.loss"].tolist(), strict=True))
    assert history.test_losses["loss"] == pytest.approx(expected)


GLOG = """I0401 10:00:00.123456  7 solver.cpp:330] Iteration 0, Testing net (#0)
I0401 10:00:00.223456  7 solver.cpp:397]     Test net output #0: acc = 0.25
I0401 10:00:00.323456  7 solver.cpp:330] Iteration 0, Testing net (#1)
I0401 10:00:00.423456  7 solver.cpp:397]     Test net output #0: acc = 0.5
I0401 10:00:00.523456  7 solver.cpp:218] Iteration 0 (-1.4e-45 iter/s, 0.1s/100 iters), loss = 2.5
I0401 10:00:00.523456  7 sgd_solver.cpp:105] Iteration 0, lr = 0.01
I0401 10:00:01.523456  7 solver.cpp:218] Iteration 100 (99.9 iter/s, 1.0s/100 iters), loss = nan
I0401 10:00:01.523456  7 sgd_solver.cpp:105] Iteration 100, lr = 0.001
"""
OWN = """Iteration 0, loss = 2.5, lr = 0.01
Iteration 10, loss = 2.25, lr = 0.005 (7012 images/s)
Iteration 10, Testing net (#0)
    Test net output #0: top5 = 0.75
    Test net output #1: l = 0.5 (* 2 = 1 loss)
"""


def test_lines_with_times_and_speeds(tmp_path: Path) -> None:
    (tmp_path / "caffe.log").write_text(GLOG)
    (history,) = read_runs(tmp_path / "caffe.log")
    assert history.loss == {0: 2.5}
    assert history.rate == {0: 0.01, 100: 0.001}
    assert history.scores == {"acc": {0: 0.25}, "acc #1": {0: 0.5}}


def test_lines_of_netdef(tmp_path: Path) -> None:
    (tmp_path / "own.log").write_text(OWN)
    (history,) = read_runs(tmp_path)
    assert (history.loss, history.rate) == ({0: 2.5, 10: 2.25}, {0: 0.01, 10: 0.005})
    assert (history.scores, history.test_losses) == ({"top5": {10: 0.75}}, {"l": {10: 0.5}})


ENTRIES = [
    {
        "kind": "test",
        "iteration": 0,
        "net": 0,
        "loss": None,
        "outputs": {"accuracy": 0.1, "softmax": 2.4, "many": None},
    },
    {"kind": "train", "iteration": 0, "loss": 2.5, "lr": 0.1, "outputs": {"softmax": 2.5}},
    {"kind": "train", "iteration": 10, "loss": None, "lr": 0.1, "outputs": {"softmax": None}},
    {"kind": "train", "iteration": 20, "loss": 1.5, "lr": None, "outputs": {}},
    {"kind": "train", "iteration": 20, "loss": 1.25, "lr": None, "outputs": {}},
]


def test_metrics_of_a_run_under_way(tmp_path: Path) -> None:
    text = "".join(json.dumps(entry) + "\n" for entry in ENTRIES) + '{"kind": "train", "iter'
    (tmp_path / "metrics.jsonl").write_text(text)
    (history,) = read_runs(tmp_path)
    assert history.loss == {0: 2.5, 20: 1.25}, "infinite losses are left out, what is told twice counts as told last"
    assert history.rate == {0: 0.1, 10: 0.1}
    assert history.scores == {"accuracy": {0: 0.1}}
    assert history.test_losses == {"softmax": {0: 2.4}}


def test_names_tell_runs_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(json.dumps(ENTRIES[1]))
    paths = [str(tmp_path / "one"), str(tmp_path / "two/metrics.jsonl")]
    assert [run.name for run in read_histories(paths)] == ["one", "two"]
    twice = [str(tmp_path / "one"), str(tmp_path / "one/metrics.jsonl")]
    assert [run.name for run in read_histories(twice)] == twice


def test_a_solver_stands_for_its_metrics(tmp_path: Path) -> None:
    text = 'net: "n" base_lr: 1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "{}/out/x"'
    (tmp_path / "solver.prototxt").write_text(text.format(tmp_path))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/metrics.jsonl").write_text(json.dumps(ENTRIES[1]))
    (history,) = read_runs(tmp_path / "solver.prototxt")
    assert history.loss == {0: 2.5}


def test_runs_that_share_a_folder(tmp_path: Path) -> None:
    """Two solvers whose snapshots lie in one folder: each run keeps its lines, a solver stands for its own."""
    for run, iteration, loss in (("x", 0, 1.0), ("y", 0, 2.0), ("x", 0, 3.0), ("x", 5, 4.0), ("y", 5, 5.0)):
        metrics = Metrics(tmp_path / "out/metrics.jsonl", run, iteration)
        metrics(Displayed(iteration, loss, None, (), None, 0.0))
        metrics.close()
    losses = {history.name: history.loss for history in read_histories([str(tmp_path / "out")])}
    assert losses == {"out y": {0: 2.0, 5: 5.0}, "out x": {0: 3.0, 5: 4.0}}
    text = 'net: "n" base_lr: 1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "{}/out/y"'
    (tmp_path / "solver.prototxt").write_text(text.format(tmp_path))
    (history,) = read_runs(tmp_path / "solver.prototxt")
    assert history.loss == {0: 2.0, 5: 5.0}


def test_every_path_that_is_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("nothing of the kind\n")
    with pytest.raises(NetdefError) as failure:
        read_histories([str(tmp_path / "a.log"), str(tmp_path / "missing.jsonl")])
    assert [d.code for d in failure.value.diagnostics] == ["ND0033", "ND0010"]
