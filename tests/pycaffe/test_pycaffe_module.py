"""Are pycaffe's other names there, or refused clearly?"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import netdef.pycaffe as caffe
from netdef import NetdefError
from netdef.diagnostics.codes import pages
from netdef.pycaffe.proto import caffe_pb2

NAMES = """
Net SGDSolver NesterovSolver AdaGradSolver RMSPropSolver AdaDeltaSolver AdamSolver get_solver NCCL Timer Layer
init_log log has_nccl set_mode_cpu set_mode_gpu set_device set_random_seed set_multiprocess solver_count
set_solver_count solver_rank set_solver_rank TRAIN TEST layer_type_list Classifier Detector io NetSpec layers params
to_proto net_spec coord_map draw proto
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", NAMES)
def test_pycaffes_names_are_there(name: str) -> None:
    assert getattr(caffe, name) is not None
    assert name in caffe.__all__


def test_layer_types_and_phases() -> None:
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)
    assert {"Convolution", "InnerProduct", "Data"} <= set(caffe.layer_type_list())


def test_one_solver_a_process() -> None:
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    caffe.set_multiprocess(False)
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, False)


REFUSED: dict[str, Callable[[], object]] = {
    "solver count": lambda: caffe.set_solver_count(2),
    "solver rank": lambda: caffe.set_solver_rank(1),
    "several processes": lambda: caffe.set_multiprocess(True),
    "NCCL": lambda: caffe.NCCL(None, ""),
    "NCCL's first call": lambda: caffe.NCCL.new_uid(),
    "a phase for all": lambda: caffe.set_phase_test(),
    "a net's phase": lambda: _any_net().set_phase_test(),
    "a net's own device": lambda: _any_net().set_mode_gpu(),
    "a net's own mean": lambda: _any_net().set_mean("data", "mean.npy"),
    "pydot": lambda: caffe.draw.get_pydot_graph(None, "LR"),
}


def _any_net() -> caffe.Net:
    net = caffe.NetSpec()
    net.x = caffe.layers.Input(shape={"dim": [1]})
    path = Path("any.prototxt")
    path.write_text(str(net.to_proto()))
    return caffe.Net(path, caffe.TEST)


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_refused_by_name(call: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NetdefError) as caught:
        call()
    assert caught.value.diagnostics[0].code == "ND1001"
    assert caught.value.diagnostics[0].help


def test_names_that_nobody_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not hasattr(caffe, "no_such_name")
    assert not hasattr(_any_net(), "no_such_name")


def test_a_timer_counts_milliseconds() -> None:
    timer = caffe.Timer()
    timer.start()
    time.sleep(0.01)
    timer.stop()
    assert 10 <= timer.ms < 10_000


def test_the_seed_makes_fillers_repeatable(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 9 } } }'
        'layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y"'
        ' inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }'
    )
    weights = []
    for seed in (5, 5, 6):
        caffe.set_random_seed(seed)
        weights.append(caffe.Net(str(path), caffe.TEST).params["fc"][0].data.copy())
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).all()


def test_without_a_gpu_the_cpu_serves(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    caffe.set_device(0)
    with caplog.at_level(logging.WARNING, "netdef.pycaffe"):
        caffe.set_mode_gpu()
    assert caffe.mode.device().type == "cpu"
    assert "CPU" in caplog.text
    caffe.set_mode_cpu()


def test_messages_under_caffes_names() -> None:
    datum = caffe_pb2.Datum(channels=1, label=3)
    assert caffe_pb2.Datum.FromString(datum.SerializeToString()).label == 3
    assert caffe_pb2.SolverParameter().DESCRIPTOR.fields_by_name["base_lr"].number == 5
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)


NET = caffe_pb2.NetParameter(
    name="n",
    layer=[
        caffe_pb2.LayerParameter(name="d", type="Input", top=["x"]),
        caffe_pb2.LayerParameter(
            name="c",
            type="Convolution",
            bottom=["x"],
            top=["y"],
            convolution_param=caffe_pb2.ConvolutionParameter(num_output=7, kernel_size=[3, 5], stride=[2]),
        ),
        caffe_pb2.LayerParameter(name="r", type="ReLU", bottom=["y"], top=["y"]),
        caffe_pb2.LayerParameter(
            name="acc", type="Accuracy", bottom=["y"], top=["a"], include=[caffe_pb2.NetStateRule(phase=caffe_pb2.TEST)]
        ),
    ],
)


def test_draw_as_text(tmp_path: Path) -> None:
    caffe.draw.draw_net_to_file(NET, str(tmp_path / "n.dot"), "TB", caffe.TRAIN)
    text = (tmp_path / "n.dot").read_text()
    assert text.startswith('digraph "n" {')
    assert "rankdir=TB;" in text
    assert 'label="c\\n(Convolution)\\nkernel 3x5\\nstride 2"' in text
    assert '"blob x" -> layer1' in text
    assert 'layer1 -> "blob y" [label="7"]' in text
    assert '"blob y" -> layer2 [dir=both]' in text
    assert "Accuracy" not in text
    caffe.draw.draw_net_to_file(NET, str(tmp_path / "n.dot"))
    assert "Accuracy" in (tmp_path / "n.dot").read_text()


def test_draw_without_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NetdefError) as caught:
        caffe.draw.draw_net_to_file(NET, str(tmp_path / "n.png"))
    assert caught.value.diagnostics[0].code == "ND1016"


def test_every_code_has_a_page() -> None:
    folder = Path(caffe.__file__).parent
    used = {word[:6] for file in folder.glob("*.py") for word in file.read_text().split('"') if word.startswith("ND10")}
    assert len(used) > 10
    assert used <= set(pages())
