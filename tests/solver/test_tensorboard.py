"""Does TensorBoard find in its files what the run told? Read back with its own reader."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from netdef.diagnostics import NetdefError
from netdef.solver import events as told
from netdef.solver.loop import Solver
from netdef.solver.nets import read_config
from netdef.solver.tensorboard import TensorBoard, filter_image
from tests.golden_cases import GOLDEN


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[told.Event]:
    """The events of a run to its end, with TensorBoard's files in `tb` of the folder, which becomes the working one."""
    shutil.copytree(GOLDEN / "logs/train_test", folder)
    monkeypatch.chdir(folder)
    events: list[told.Event] = []
    with Solver(read_config("solver.prototxt")[0], observers=[events.append]) as solver:
        board = TensorBoard(solver, Path("tb"), every=2)
        solver.observers.append(board)
        solver.solve()
        board.close()
        assert solver.iter == solver.config.max_iter
    return events


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[told.Event]]:
    """What TensorBoard's reader found, and the events of the run."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = trained(tmp_path / "run", monkeypatch)
    reader = EventAccumulator("tb", size_guidance={"images": 0, "histograms": 0, "scalars": 0})
    reader.Reload()
    return reader, events


def test_scalars_are_those_of_the_events(run: tuple[Any, list[told.Event]]) -> None:
    reader, events = run
    shown = [event for event in events if isinstance(event, told.Displayed)]
    tested = [event for event in events if isinstance(event, told.Tested)]
    loss = [(point.step, point.value) for point in reader.Scalars("train/loss")]
    assert loss == [(event.iteration, pytest.approx(event.loss)) for event in shown]
    rates = [(point.step, point.value) for point in reader.Scalars("train/lr")]
    assert rates == [(event.iteration, pytest.approx(event.rate)) for event in shown if event.rate is not None]
    accuracy = [(point.step, point.value) for point in reader.Scalars("test/accuracy")]
    assert accuracy == [(event.iteration, pytest.approx(event.outputs[0].mean)) for event in tested]


def test_histograms_images_and_graph(run: tuple[Any, list[told.Event]]) -> None:
    reader, _ = run
    params = ("conv/weight", "conv/bias", "ip/weight", "ip/bias")
    names = {f"{kind}/{param}" for kind in ("weights", "gradients") for param in params}
    assert set(reader.Tags()["histograms"]) == names
    steps = [point.step for point in reader.Histograms("gradients/conv/weight")]
    assert steps == [0, 10, 20], "every second display"
    assert [point.step for point in reader.Histograms("weights/conv/weight")] == [0, 10, 20, 30], "and the end"
    assert reader.Histograms("weights/ip/weight")[0].histogram_value.num == 4 * 45
    assert [point.step for point in reader.Images("filters/conv")] == [*steps, 30]
    nodes = {node.name: (node.op, list(node.input)) for node in reader.Graph().node}
    assert nodes["conv"] == ("Convolution", ["data"])
    assert nodes["loss"] == ("SoftmaxWithLoss", ["ip", "data:1"])
    (shape,) = next(node for node in reader.Graph().node if node.name == "ip").attr["_output_shapes"].list.shape
    assert [dim.size for dim in shape.dim] == [8, 4]


def test_a_resumed_run_hides_what_it_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shutil.copytree(GOLDEN / "logs/train_test", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    config = replace(read_config("solver.prototxt")[0], tests=(), test_interval=0)
    for begin in (0, 10):
        with Solver(config) as solver:
            solver.run.iter = begin
            board = TensorBoard(solver, Path("tb"))
            solver.observers.append(board)
            solver.step(20 - begin)
            board.close()
    reader = EventAccumulator("tb")
    reader.Reload()
    assert [point.step for point in reader.Scalars("train/loss")] == [0, 5, 10, 15]


def test_filters_become_a_grid_in_red_green_blue() -> None:
    filters = torch.zeros(3, 3, 2, 2)
    filters[0, 2, 0, 1] = 2.0  # the third channel of an image that Caffe reads is red
    filters[1] = -2.0
    image = np.asarray(filter_image(filters))
    zoom, step = 20, 41
    assert image.shape == (3, 2 * step, 2 * step)
    assert image[:, 0, zoom].tolist() == [1.0, 0.5, 0.5]
    assert image[:, 0, 0].tolist() == [0.5, 0.5, 0.5]
    assert image[:, 0, step].tolist() == [0.0, 0.0, 0.0]
    assert image[:, step, step].tolist() == [1.0, 1.0, 1.0], "no fourth filter"


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.chdir(GOLDEN / "logs/train_test")
    with Solver("solver.prototxt") as solver, pytest.raises(NetdefError) as failure:
        TensorBoard(solver, tmp_path)
    assert failure.value.diagnostics[0].code == "ND0031"


def test_a_full_disk_ends_the_files_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thread of TensorBoard's writes: it must not die with a traceback, nor write behind a broken record."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.summary.writer.record_writer import RecordWriter

    write, calls = RecordWriter.write, []

    def full(self: RecordWriter, data: bytes) -> None:
        calls.append(data)
        if len(calls) == 12:
            raise OSError(28, "No space left on device")
        write(self, data)

    monkeypatch.setattr(RecordWriter, "write", full)
    events = trained(tmp_path / "run", monkeypatch)
    warned = [event.diagnostic for event in events if isinstance(event, told.Warned)]
    assert [(w.code, "No space left on device" in w.message) for w in warned] == [("ND0803", True)]
    assert len(calls) == 12
    assert "Traceback" not in capsys.readouterr().err
    reader = EventAccumulator("tb")
    reader.Reload()
    assert [point.step for point in reader.Scalars("train/loss")] == [0]


def test_no_room_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    shutil.copytree(GOLDEN / "logs/train_test", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    Path("tb").write_text("a file")
    with Solver(read_config("solver.prototxt")[0]) as solver, pytest.raises(NetdefError) as failure:
        TensorBoard(solver, Path("tb/here"))
    assert failure.value.diagnostics[0].code == "ND0803"
