"""Does the timing count every layer once, with the work that it does?"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netdef.diagnostics import NetdefError
from netdef.graph import Options, load
from netdef.report.layerwise import steps
from netdef.report.subject import read_subject
from netdef.report.timing import Timing, time_net
from netdef.solver.style import Style
from netdef.targets.torch import build_module
from tests.golden_cases import GOLDEN

CPU = Style(torch.device("cpu"))
NET = GOLDEN / "logs/train_test/net.prototxt"

TEXT = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip" inner_product_param { num_output: 5 } }
"""


@pytest.fixture
def timing(tmp_path: Path) -> Timing:
    (tmp_path / "net.prototxt").write_text(TEXT)
    return time_net(load(tmp_path / "net.prototxt", Options(phase="TRAIN")), CPU, iterations=2)


def test_flops_are_those_of_hand_arithmetic(timing: Timing) -> None:
    # conv: 4 images, 3 maps of 4 x 4, each a sum over 2 x 3 x 3; ip: 4 rows, 48 x 5. A multiply-add is two.
    conv, ip = 2 * 4 * 3 * 16 * 18, 2 * 4 * 48 * 5
    assert [row.forward.flops for row in timing.layers] == [conv, 0, ip]
    # No gradient flows into the data: conv goes back once, for its weights; ip twice.
    assert [row.backward and row.backward.flops for row in timing.layers] == [conv, 0, 2 * ip]


def test_bytes_are_each_number_once(timing: Timing) -> None:
    x, c, ip, conv_params, ip_params = 4 * 2 * 36, 4 * 3 * 16, 4 * 5, 3 * 18 + 3, 5 * 48 + 5
    expected = [4 * (x + c + conv_params), 4 * (2 * c), 4 * (c + ip + ip_params)]
    assert [row.forward.bytes_moved for row in timing.layers] == expected
    back = [4 * (c + x + conv_params), 4 * (2 * c), 4 * (ip + 2 * c + 2 * ip_params)]
    assert [row.backward and row.backward.bytes_moved for row in timing.layers] == back


def test_shares_are_of_the_sum(timing: Timing) -> None:
    assert sum(row.share for row in timing.layers) == pytest.approx(1)
    assert timing.sum_forward_ms + timing.sum_backward_ms == pytest.approx(sum(row.ms for row in timing.layers))
    assert timing.forward_ms > 0
    assert timing.backward_ms > 0
    assert timing.random_inputs == ("x",)


def test_rates_follow_from_times(timing: Timing) -> None:
    row = timing.layers[2]
    assert row.backward is not None
    assert row.flops_per_s == pytest.approx(3 * row.forward.flops / ((row.forward.ms + row.backward.ms) / 1000))
    assert timing.layers[1].flops_per_s is None


def test_a_database_that_is_there_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(NET.parent)
    subject = read_subject("solver.prototxt", Options(phase="TRAIN"))
    timing = time_net(subject.graph, CPU, iterations=1, base_dir=NET.parent)
    assert timing.random_inputs == ()
    assert [row.layer for row in timing.layers] == ["data", "conv", "relu", "pool", "ip", "loss"]
    assert timing.layers[0].backward is None
    assert all(row.backward for row in timing.layers[1:])


def test_a_solver_is_timed_as_it_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(NET.parent)
    subject = read_subject("solver.prototxt", Options(phase="TEST"))
    assert subject.graph.phase == "TEST"
    assert "accuracy" in subject.graph.layers
    rows = {row.layer: row for row in time_net(subject.graph, CPU, iterations=1).layers}
    assert rows["accuracy"].backward is None


def test_unknown_sizes_are_refused(tmp_path: Path) -> None:
    text = TEXT.replace(
        'type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 6 dim: 6 } }', 'type: "Input" top: "x"'
    )
    (tmp_path / "net.prototxt").write_text(text)
    with pytest.raises(NetdefError) as failure:
        time_net(load(tmp_path / "net.prototxt", Options(phase="TRAIN")), CPU, iterations=1)
    assert failure.value.diagnostics[0].code == "ND0030"


LOSS = """
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss"
  loss_param { class_weight: [1, 2, 3, 4, 5] } }
"""


def test_a_layer_alone_is_where_its_net_is(tmp_path: Path) -> None:
    """With what it holds beside parameters: here the weights of the classes, and meta in the place of a GPU."""
    (tmp_path / "net.prototxt").write_text(TEXT + LOSS)
    graph = load(tmp_path / "net.prototxt", Options(phase="TRAIN"))
    alone = steps(graph, build_module(graph, with_loss=True, device="meta"))
    held = [tensor for step in alone for tensor in (*step.module.parameters(), *step.module.buffers())]
    assert len(held) == 5
    assert all(tensor.is_meta for tensor in held)


@pytest.mark.gpu
def test_events_time_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(TEXT)
    timing = time_net(
        load(tmp_path / "net.prototxt", Options(phase="TRAIN")), Style(torch.device("cuda")), iterations=3
    )
    assert timing.device == "cuda"
    assert all(row.forward.ms > 0 for row in timing.layers)
