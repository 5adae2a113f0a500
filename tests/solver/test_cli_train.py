"""Does `netdef train` do what a user at a terminal expects?"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from netdef.cli.main import group
from netdef.cli.progress import _Line
from netdef.diagnostics import Diagnostic, NetdefError
from netdef.solver import events as ev
from netdef.solver import snapshot
from netdef.solver.loop import Solver
from netdef.solver.metrics import Metrics
from netdef.solver.watched import Standing
from netdef.targets.torch import tensors
from netdef.weights import read_weights
from tests.solver import small_run

ROOT = Path(__file__).parents[2]


def netdef(*args: str | Path) -> str:
    """What a command prints; its errors come as exceptions."""
    result = CliRunner().invoke(group, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def codes(*args: str | Path) -> list[str]:
    with pytest.raises(NetdefError) as failure:
        netdef(*args)
    return [d.code for d in failure.value.diagnostics]


@pytest.fixture
def solver(tmp_path: Path) -> Path:
    return small_run.make(tmp_path, "display: 5")


def test_lines_metrics_and_snapshots(solver: Path) -> None:
    said = netdef("train", solver).splitlines()
    assert said[0] == "Iteration 0, Testing net (#0)"
    assert sum(line.startswith("Iteration 5, loss = ") and ", lr = 0.02" in line for line in said) == 1
    assert said[-1] == "Optimization Done."
    entries = [json.loads(line) for line in (solver.parent / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [e["iteration"] for e in entries if e["kind"] == "train"] == [0, 5, 10, 15, 20]
    assert [e["iteration"] for e in entries if e["kind"] == "test"] == [0, 6, 12, 18]
    assert {"loss", "lr", "images_per_s", "time"} <= entries[1].keys()
    assert 0 <= entries[0]["outputs"]["accuracy"] <= 1


@pytest.mark.parametrize(
    "state", [["--snapshot", "out/snap_iter_10.solverstate"], ["--resume", "auto"]], ids=["named", "auto"]
)
def test_going_on(solver: Path, state: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(solver.parent)
    netdef("train", solver, "--iterations", "10")
    said = netdef("train", f"--solver={solver}", *state)
    assert "Going on at iteration 10" in said
    entries = [json.loads(line) for line in Path("out/metrics.jsonl").read_text().splitlines()]
    assert [e["iteration"] for e in entries if e["kind"] == "train"] == [0, 5, 10, 15, 20]


def test_auto_passes_a_damaged_snapshot_over(solver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one before takes its place; where none can be read the run does not begin anew over them."""
    netdef("train", solver)
    out = solver.parent / "out"
    for name in ("snap_iter_20.solverstate", "snap_iter_15.caffemodel"):
        (out / name).write_bytes((out / name).read_bytes()[:99])
    said = netdef("train", solver, "--resume", "auto")
    assert f"Going on at iteration 10 from {out}/snap_iter_10.solverstate" in said
    assert re.findall(r"warning\[(ND\d+)\]: \S*(snap_iter_\w+\.\w+)", said) == [
        ("ND0808", "snap_iter_20.solverstate"),
        ("ND0808", "snap_iter_15.caffemodel"),
    ]
    for path in out.glob("*.solverstate"):
        path.write_bytes(b"junk")
    assert codes("train", solver, "--resume", "auto") == ["ND0602"]


def test_auto_without_a_snapshot_begins(solver: Path) -> None:
    said = netdef("train", solver, "--resume", "auto")
    assert "Going on" not in said
    assert said.splitlines()[-1] == "Optimization Done."


def test_weights_in_caffes_spelling_and_scores(solver: Path, tmp_path: Path) -> None:
    netdef("train", solver, "--iterations", "5")
    weights = tmp_path / "out" / "snap_iter_5.caffemodel"
    assert "Optimization Done." in netdef(
        "train", f"-solver={solver}", f"-weights={weights},{weights}", "--iterations", "2"
    )
    (score,) = json.loads(netdef("test", solver, "--weights", weights, "--format", "json"))
    assert score["iterations"] == 2
    (again,) = json.loads(
        netdef("test", tmp_path / "net.prototxt", "--weights", weights, "--iterations", "2", "--format", "json")
    )
    assert again["outputs"] == score["outputs"]
    said = netdef("test", f"--model={tmp_path}/net.prototxt", f"--weights={weights}", "--iterations", "2").splitlines()
    mean = float(next(line for line in said if line.startswith("accuracy = ")).split()[-1])
    batches = [float(line.split()[-1]) for line in said if line.startswith("Batch") and "accuracy" in line]
    assert mean == pytest.approx(sum(batches) / 2, rel=1e-4)


def test_each_of_several_test_nets_is_named(tmp_path: Path) -> None:
    solver = small_run.make(tmp_path, "test_iter: 1")
    netdef("train", solver, "--iterations", "0")
    weights = tmp_path / "out" / "snap_iter_0.caffemodel"
    _, first, second = netdef("test", solver, "--weights", weights).split("Testing net ")
    assert (first[:4], first.count(", accuracy = ")) == ("(#0)", 2)
    assert (second[:4], second.count(", accuracy = ")) == ("(#1)", 1)


def test_finetuning_tells_what_went_where_and_strict_refuses_it(
    solver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    netdef("train", solver, "--iterations", "1")
    weights, net = Path("out/snap_iter_1.caffemodel").rename("begin.caffemodel"), Path("net.prototxt")
    assert "ND0619" not in netdef("train", solver, "--weights", weights, "--strict", "--iterations", "1")
    netdef("test", net, "--weights", weights, "--strict", "--iterations", "1")
    net.write_text(net.read_text().replace('"ip"', '"new"'))
    known = '2 layers matched, 1 skipped, not in the net ("ip"), 1 left at their fillers ("new")'
    assert known in netdef("train", solver, "--weights", weights, "--iterations", "1")
    assert known in netdef("test", net, "--weights", weights, "--iterations", "1")
    for command in (("train", solver), ("test", net)):
        assert codes(*command, "--weights", weights, "--strict") == ["ND0612", "ND0612"]


def test_weights_of_another_net_are_told(solver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    netdef("train", solver, "--iterations", "1")
    net = Path("net.prototxt")
    net.write_text(re.sub('name: "(conv|bn|ip)"', r'name: "\1_2"', net.read_text()))
    assert "warning[ND0613]" in netdef("train", solver, "--weights", "out/snap_iter_1.caffemodel", "--iterations", "1")


def test_no_gpu(solver: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert codes("train", solver, "--gpu", "0") == ["ND0711"]
    assert codes("train", solver, "--gpu", "all") == ["ND0711"]
    solver.write_text(solver.read_text().replace("solver_mode: CPU", "solver_mode: GPU"))
    assert "No GPU found: training on the CPU." in netdef("train", solver, "--iterations", "1")


def test_wrong_uses(solver: Path, tmp_path: Path) -> None:
    for args in ([], [str(solver), "--solver", "x"], [str(solver), "--weights", "a", "--snapshot", "b"]):
        assert CliRunner().invoke(group, ["train", *args]).exit_code == 2
    assert codes("train", tmp_path / "none.prototxt") == ["ND0010"]
    assert codes("train", tmp_path / "net.prototxt") == ["ND0706"]
    assert codes("train", solver, "--snapshot", tmp_path / "net.prototxt") != []


def test_a_net_that_cannot_be_trained(tmp_path: Path) -> None:
    net = 'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 2 }} }} }}'
    solver = small_run.make(
        tmp_path, net=net, solver='train_net: "{folder}/net.prototxt" base_lr: 1 lr_policy: "fixed"'
    )
    assert codes("train", solver) == ["ND0712"] * 3


def test_a_resumed_run_needs_no_weights_to_begin_from(solver: Path, tmp_path: Path) -> None:
    """They were needed once, and may be gone by now."""
    netdef("train", solver, "--iterations", "5")
    begun = (tmp_path / "out/snap_iter_5.caffemodel").rename(tmp_path / "pretrained.caffemodel")
    tuned = small_run.make(tmp_path, f'weights: "{begun}" snapshot_prefix: "{tmp_path}/tuned/t"')
    tuned.write_text(tuned.read_text().replace(f'snapshot_prefix: "{tmp_path}/out/snap"', ""))
    assert codes("train", tuned, "--weights", tmp_path / "nowhere") == ["ND0601"]
    netdef("train", tuned, "--resume", "auto", "--iterations", "5")
    begun.unlink()
    assert codes("train", tuned) == ["ND0601"]
    assert "Going on at iteration 5" in netdef("train", tuned, "--resume", "auto", "--iterations", "8")
    state = tmp_path / "tuned/t_iter_8.solverstate"
    assert "Going on at iteration 8" in netdef("train", tuned, "--snapshot", state, "--iterations", "9")


def test_a_solvers_weights_lie_beside_it(
    solver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As its nets do; the working folder goes before."""
    netdef("train", solver, "--iterations", "1")
    (tmp_path / "out/snap_iter_1.caffemodel").rename(tmp_path / "begun.caffemodel")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with Solver(small_run.make(tmp_path, 'weights: "begun.caffemodel"')) as tuned:
        begun = read_weights(tmp_path / "begun.caffemodel").layer("ip")
        assert begun is not None
        np.testing.assert_array_equal(tuned.net.ip.weight.detach().numpy(), begun.blobs[0])
    Path("begun.caffemodel").write_text("this one first")
    with pytest.raises(NetdefError) as failure:
        Solver(tmp_path / "solver.prototxt")
    assert failure.value.diagnostics[0].code == "ND0602"


def test_weights_that_are_not_there_are_told_of_where_they_are_named(tmp_path: Path) -> None:
    solver = small_run.make(tmp_path, 'weights: "one.caffemodel,two.caffemodel"')
    with pytest.raises(NetdefError) as failure:
        Solver(solver)
    found = failure.value.diagnostics
    assert [(d.code, d.message) for d in found] == [
        ("ND0601", f'the weights "{name}.caffemodel" are not there') for name in ("one", "two")
    ]
    assert all(d.span is not None and d.span.source.name == str(solver) for d in found)


def test_missing_net(tmp_path: Path) -> None:
    solver = small_run.make(tmp_path)
    (tmp_path / "net.prototxt").unlink()
    assert codes("train", solver) == ["ND0320"]


def diverged(solver: Path) -> str:
    with pytest.raises(NetdefError) as failure:
        netdef("train", solver)
    (fault,) = failure.value.diagnostics
    assert failure.value.exit_code == 3
    assert fault.code == "ND0801"
    return fault.message


def test_divergence_names_iteration_and_layer(tmp_path: Path) -> None:
    """Weights of 1e30 overflow in the second iteration's convolution, which its loss, clamped as Caffe's, survives."""
    text = small_run.SOLVER.replace('type: "Adam" base_lr: 0.02', "base_lr: 1e30")
    said = diverged(small_run.make(tmp_path, solver=text))
    assert said == 'the loss is not finite at iteration 2: "conv" is the first layer whose output is not finite'
    assert not list((tmp_path / "out").glob("*.caffemodel"))


ROOTS = """
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param {{ source: "{folder}/list.txt" batch_size: 7 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: 1 }} }}
layer {{ name: "root" type: "Power" bottom: "ip" top: "root" power_param {{ power: 0.5 }} }}
layer {{ name: "score" type: "InnerProduct" bottom: "root" top: "score"
  inner_product_param {{ num_output: 1 weight_filler {{ value: 1 }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "score" bottom: "label" top: "loss" }}
"""


@pytest.mark.parametrize("bias", [True, False], ids=["told by the bias", "told by the weight"])
def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path: Path, bias: bool) -> None:
    """The slope of the square root at 0, where its value and the loss are finite."""
    text = small_run.SOLVER.replace("test_iter: 2 test_interval: 6", "")
    net = ROOTS if bias else ROOTS.replace("inner_product_param {{", "inner_product_param {{ bias_term: false")
    solver = small_run.make(tmp_path, net=net, solver=text)
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        labels = file["label"][:] + 1
        del file["label"]
        file["label"] = labels.reshape(-1, 1)
    with Solver(solver) as running:
        with pytest.raises(NetdefError) as failure:
            running.step(1)
        held = tensors(running.net, running.run.train.graph)
        biases = {"ip.bias": 0, "score.bias": 0} if bias else {}
        found = {name: float(tensor.detach().sum()) for name, tensor in held.items()}
        assert found == {"ip.weight": 0, "score.weight": 1, **biases}
    assert failure.value.diagnostics[0].message == (
        'a gradient is not finite at iteration 0: on the way back "ip" is the first layer whose gradient is not'
    )


def test_numbers_in_the_data_that_are_none(tmp_path: Path) -> None:
    solver = small_run.make(tmp_path)
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        file["data"][:] = np.nan
    with pytest.raises(NetdefError) as failure:
        netdef("train", solver)
    (fault,) = failure.value.diagnostics
    assert fault.message.endswith('"data" is the first layer whose output is not finite')
    assert fault.help == ("look for such numbers in the data, in the mean and in `scale`",)
    assert fault.span is not None
    assert fault.span.text.endswith('list.txt"')


def test_divergence_by_data_keeps_the_snapshots_before(tmp_path: Path) -> None:
    text = small_run.SOLVER.replace("snapshot: 5", "snapshot: 1")
    solver = small_run.make(tmp_path, solver=text, net=small_run.NET.replace("shuffle: true", "shuffle: false"))
    with h5py.File(tmp_path / "data.h5", "r+") as file:
        file["data"][20, 0, 0, 0] = np.nan  # row 20 is in the third batch of 7, the first of iteration 1
    assert diverged(solver).startswith("the loss is not finite at iteration 1: ")
    assert [p.name for p in (tmp_path / "out").glob("*.caffemodel")] == ["snap_iter_1.caffemodel"]


def test_the_live_line_tells_of_a_test(solver: Path) -> None:
    """Neither a speed before there is one, nor one that falls while a test takes its time."""
    with Solver(solver) as running:
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        line = _Line(running, 20, console)
        seen: list[tuple[type, str]] = []

        def look(event: ev.Event) -> None:
            line.note(event)
            seen.append((type(event), str(line.numbers.render(line.tasks[0]))))

        running.observers.append(look)
        running.step(7)
    assert {text for kind, text in seen if kind is ev.Testing} == {"testing net #0"}
    assert next(text for kind, text in seen if kind is ev.Tested) == "lr 0.02"
    first, later = [text for kind, text in seen if kind is ev.Displayed]
    assert re.fullmatch(r"loss [\d.]+  lr 0\.02", first)
    assert re.fullmatch(r"loss [\d.]+  lr 0\.02  [\d,]+ images/s", later)


@pytest.mark.parametrize(("width", "bar"), [(50, 1), (80, 8), (100, 20), (200, 20)])
def test_the_live_line_is_one_line(solver: Path, width: int, bar: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal of 80 columns the speed of a long run broke it in two, which leaves traces as it moves up."""
    with Solver(solver) as running:
        running.step(1)
        running.run.iter = 123456
        console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
        line = _Line(running, 450000, console)
        monkeypatch.setattr(line.numbers.speed, "at", lambda iteration, time: 16244.0)
        with console.capture() as shown:
            for part in line.get_renderables():
                console.print(part)
    (text,) = shown.get().splitlines()
    assert text.startswith("iteration 123")
    assert ("16,244 images/s" in text) == (width >= 80)
    assert line._bar.bar_width == bar


def start(*args: str | Path) -> subprocess.Popen[str]:
    """A run in a process of its own, for signals."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command: Sequence[str] = [sys.executable, "-m", "netdef", "train", *map(str, args)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read on until a line holds `text`."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(process.communicate())


def test_ctrl_c_takes_a_snapshot_and_says_how_to_go_on(solver: Path) -> None:
    with start(solver, "--iterations", "1000000") as process:
        until(process, "Iteration 10, loss")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    last = out.splitlines()[-1]
    assert last.startswith("Stopped at iteration ")
    state = last.rsplit(" ", 1)[1]
    assert Path(state).exists()
    assert f"_iter_{last.split()[3].rstrip('.')}." in state


def test_sigterm_takes_a_snapshot_and_says_that_the_run_is_not_complete(solver: Path) -> None:
    """However often it comes: a scheduler sends it to every process of a job, and these pass it on."""
    with start(solver, "--iterations", "1000000") as process:
        until(process, "Iteration 10, loss")
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert err == ""
    last = out.splitlines()[-1]
    assert last.startswith("Stopped at iteration ")
    assert Path(last.rsplit(" ", 1)[1]).exists()


def test_sigterm_may_do_nothing(solver: Path) -> None:
    with start(solver, "--iterations", "60", "--sigterm_effect", "none") as process:
        until(process, "Iteration 10, loss")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.splitlines()[-1] == "Optimization Done."


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_hang_up_takes_a_snapshot_and_goes_on(tmp_path: Path) -> None:
    solver = small_run.make(tmp_path, "display: 5", solver=small_run.SOLVER.replace("snapshot: 5", "snapshot: 0"))
    with start(solver, "--iterations", "1000000") as process:
        until(process, "Iteration 10, loss")
        process.send_signal(signal.SIGHUP)
        until(process, "Snapshotting to")
        until(process, "loss = ")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (9, "The best weights, of iteration 1: {best}"),
        (1, "The best weights, of iteration 1, could not be kept; {best} holds those of iteration 0."),
        (0, "The best weights, of iteration 1, could not be kept."),
    ],
    ids=["kept", "those before", "none"],
)
def test_what_an_early_stop_says_of_the_best_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, said: str
) -> None:
    """The accuracy rises once, then stands still; there is room on the disk for so many files of best weights."""
    write, written, tests = snapshot.write_weights, [], []

    def full(path: Path, *rest: Any, **more: Any) -> None:
        if path.name.startswith("snap_best"):
            if len(written) == room:
                raise OSError(28, "No space left on device")
            written.append(path)
        write(path, *rest, **more)

    def judged(self: Standing, outputs: Any, iteration: int) -> bool:
        tests.append(iteration)
        return judge(self, [replace(outputs[0], values=np.array(min(iteration, 1.0))), *outputs[1:]], iteration)

    judge = Standing.judge
    monkeypatch.setattr(snapshot, "write_weights", full)
    monkeypatch.setattr(Standing, "judge", judged)
    early = 'early_stop { output: "accuracy" patience: 2 mode: MAX }'
    text = small_run.SOLVER.replace("test_interval: 6", "test_interval: 1").replace("snapshot: 5", "snapshot: 0")
    solver = small_run.make(tmp_path, early, solver=text)
    last = netdef("train", solver).splitlines()[-1]
    assert last == "Stopped early at iteration 3. " + said.format(best=tmp_path / "out" / "snap_best.caffemodel")
    assert tests == [0, 1, 2, 3]


def test_lines_that_find_no_room_are_told_of_once(tmp_path: Path) -> None:
    found: list[Diagnostic] = []
    metrics = Metrics(tmp_path / "m.jsonl", "a", 0, found.append)
    metrics._stream.close()
    metrics._stream = Path("/dev/full").open("w")  # noqa: SIM115 - closed with the metrics
    for iteration in range(3):
        metrics(ev.Displayed(iteration, 1.0, 0.1, (), None, 0.0))
    metrics.close()
    assert [(d.code, d.severity.value) for d in found] == [("ND0803", "warning")]
    assert "No space left on device" in found[0].message


def test_no_place_for_metrics(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    solver = small_run.make(tmp_path, f'metrics: "{tmp_path}/file/m.jsonl"')
    with pytest.raises(NetdefError) as failure:
        netdef("train", solver)
    assert failure.value.diagnostics[0].code == "ND0803"
    assert failure.value.diagnostics[0].help == ("change `metrics`",)
