"""Is a fault of a user's layer told at its place in the net, with the exception and its line in the user's file?"""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import netdef
import netdef.pycaffe as caffe
from netdef.cli import main
from netdef.diagnostics import NetdefError, RunError
from netdef.layers.python import allowing
from netdef.nn.python_host import PythonHost
from netdef.solver.feed import Feed
from netdef.solver.nets import read_config
from netdef.solver.overfit import overfit
from netdef.solver.part import build_train
from netdef.solver.randomness import Randomness
from netdef.solver.style import Style
from netdef.solver.team import ALONE
from netdef.targets.torch import build_module
from tests.graph.compiling import compiled, graph

MODULE = "netdef_test_faulty_layers"
CODE = """
import numpy as np
import torch
import netdef.pycaffe as caffe

class Source(caffe.Layer):
    sizes = (8, 8, 8, 8, 8, 8)
    count = 0
    def setup(self, bottom, top):
        self.count = 0
    def reshape(self, bottom, top):
        size = self.sizes[self.count % len(self.sizes)]
        top[0].reshape(self.rows(), 1, size, size)
        top[1].reshape(2)
    def rows(self):
        return 2
    def forward(self, bottom, top):
        self.count += 1
        top[0].data[...] = np.arange(top[0].count).reshape(top[0].shape) / top[0].count
        top[1].data[...] = 0, 1
    def backward(self, top, propagate_down, bottom):
        pass

class Growing(Source):
    sizes = (8, 9, 10)

class WritesOver(torch.nn.Module):
    def forward(self, x):
        return x.mul_(2)

class MoreRows(Source):
    def rows(self):
        return 2 + self.count

class Same(caffe.Layer):
    def setup(self, bottom, top):
        pass
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff

class ReshapeFails(Same):
    calls = 0
    def reshape(self, bottom, top):
        super().reshape(bottom, top)
        ReshapeFails.calls += 1
        assert ReshapeFails.calls < 3

class ForwardFails(Same):
    def forward(self, bottom, top):
        helper(bottom)

def helper(bottom):
    raise LookupError("nothing\\n  of the kind")  # says it

class BackwardFails(Same):
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = np.zeros(7)  # says it

class NoSuchTop(Same):
    def forward(self, bottom, top):
        top[1].data[...] = 0  # says it

class Overwrites(Same):
    def forward(self, bottom, top):
        bottom[0].data[...] *= 2
        top[0].data[...] = bottom[0].data

class InPlace(Same):
    def reshape(self, bottom, top):
        pass
    def forward(self, bottom, top):
        bottom[0].data[...] *= 3
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] *= 3

class ModuleFails(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.count, self.inner = 0, torch.nn.Linear(6, 6)
    def forward(self, x):
        self.count += 1
        if self.count > 2:
            return self.inner(x[..., :5])  # says it
        return self.inner(x)

class Double(torch.nn.Module):
    def forward(self, x):
        return x.double()

class Whole(torch.nn.Module):
    def forward(self, x):
        return x.argmax(1)

class Named(torch.nn.Module):
    def forward(self, x):
        return {"x": x}

class Single(torch.nn.Module):
    def forward(self, x):
        return (2 * x,)

class Raises(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x
    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("no way back")  # says it

class Misshapes(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x
    @staticmethod
    def backward(ctx, gradient):
        return gradient.sum()

class GradientRaises(torch.nn.Module):
    def forward(self, x):
        return Raises.apply(x)

class GradientMisshapes(torch.nn.Module):
    def forward(self, x):
        return Misshapes.apply(x)
"""
NET = """
layer { name: "data" type: "Python" top: "data" top: "label" python_param { module: "MODULE" layer: "SOURCE" } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "mine" type: "Python" bottom: "conv" top: "mine" python_param { module: "MODULE" layer: "KIND" } }
layer { name: "pool" type: "Pooling" bottom: "mine" top: "pool" pooling_param { global_pooling: true pool: AVE } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 4 random_seed: 1 snapshot_after_train: false'


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / f"{MODULE}.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("solver.prototxt").write_text(SOLVER)
    yield
    sys.modules.pop(MODULE, None)


def line_of(text: str) -> int:
    """The line of the user's file that says it, after the class or function `text`."""
    lines = CODE.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(text))
    return next(i for i in range(begin, len(lines)) if "# says it" in lines[i]) + 1


def write(kind: str, source: str = "Source") -> None:
    Path("net.prototxt").write_text(NET.replace("MODULE", MODULE).replace("KIND", kind).replace("SOURCE", source))


def failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a training says that fails in mid-run."""
    monkeypatch.setattr(sys, "argv", ["netdef", "train", "solver.prototxt", "--allow-python"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 3
    return capsys.readouterr().err


FAULTS = [
    pytest.param("ReshapeFails", "AssertionError (", None, id="reshape"),
    pytest.param("ForwardFails", "LookupError: nothing of the kind (", "def helper", id="forward"),
    pytest.param("NoSuchTop", "IndexError: list index out of range (", "class NoSuchTop", id="too few tops"),
    pytest.param("BackwardFails", "ValueError: could not broadcast", "class BackwardFails", id="backward"),
    pytest.param("ModuleFails", "RuntimeError: mat1 and mat2 shapes", "class ModuleFails", id="torch forward"),
    pytest.param("GradientRaises", "ValueError: no way back (", "class Raises", id="torch backward"),
    pytest.param("GradientMisshapes", "MisshapesBackward returned an invalid gradient", None, id="torch gradient"),
]


@pytest.mark.parametrize(("kind", "says", "place"), FAULTS)
def test_training_tells_layer_exception_and_line(monkeypatch, capsys, kind, says, place) -> None:
    write(kind)
    told = failing(monkeypatch, capsys)
    assert told.count("error[") == 1
    assert f"error[ND0484]: {MODULE}.{kind}" in told
    assert says in told
    assert "--> net.prototxt:5:1" in told
    if place:
        assert f"{MODULE}.py:{line_of(place)}, in " in told


@pytest.mark.parametrize(("kind", "says", "place"), FAULTS)
def test_pycaffes_solver_tells_the_same(kind, says, place) -> None:
    write(kind)
    with netdef.allow_python():
        solver = caffe.SGDSolver("solver.prototxt")
    with pytest.raises(RunError) as caught:
        solver.step(4)
    (found,) = caught.value.diagnostics
    assert found.code == "ND0484"
    assert says in found.message
    assert found.span is not None
    assert found.span.line == 5


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        pytest.param("Double", "top 0 as torch.float64, and blobs are torch.float32", id="float64"),
        pytest.param("Whole", "top 0 as torch.int64", id="integers"),
        pytest.param("Named", "gives dict, and a tensor for each top", id="no tensors"),
    ],
)
def test_what_a_module_may_not_give(kind: str, says: str) -> None:
    write(kind)
    with allowing(PythonHost()):
        found = compiled(Path("net.prototxt").read_text()).diagnostics
    assert [d.code for d in found if d.severity.value == "error"] == ["ND0483"]
    assert says in found[-1].message
    assert found[-1].span.line == 5


def test_one_tensor_may_come_in_a_tuple() -> None:
    write("Single")
    with netdef.allow_python():
        net = netdef.load_net("net.prototxt", "TRAIN")
    module = build_module(net, outputs=["conv", "mine"])
    blobs = module()
    assert torch.equal(blobs["mine"], 2 * blobs["conv"])


def test_sizes_that_change_are_for_pycaffe(monkeypatch, capsys) -> None:
    write("Same", "Growing")
    told = failing(monkeypatch, capsys)
    assert f"{MODULE}.Growing gave top 0 the shape 2x1x9x9, and the net was made for 2x1x8x8" in told
    assert "netdef.pycaffe" in told
    with netdef.allow_python():
        solver = caffe.SGDSolver("solver.prototxt")
    sizes = []
    for _ in range(3):
        solver.step(1)
        sizes.append((solver.net.blobs["data"].shape[-1], solver.net.blobs["mine"].shape[-1]))
    assert sizes == [(8, 6), (9, 7), (10, 8)]


def test_rows_that_do_not_match_are_laid_to_the_layer_that_gave_them(monkeypatch, capsys) -> None:
    write("Same", "MoreRows")
    told = failing(monkeypatch, capsys)
    assert f"error[ND0484]: {MODULE}.MoreRows gave 3x1x8x8, and the net was made for 2x1x8x8" in told


def test_a_layer_that_writes_into_its_bottom() -> None:
    write("Overwrites")
    with netdef.allow_python():
        net = netdef.load_net("net.prototxt", "TRAIN")
        live = caffe.Net("net.prototxt", caffe.TRAIN)
    with pytest.raises(RunError, match=f"{MODULE}.Overwrites wrote into the data of its bottom 0"):
        build_module(net)()
    live.forward()
    np.testing.assert_array_equal(live.blobs["conv"].data, live.blobs["mine"].data)


def test_in_place_top_and_bottom_are_one_blob() -> None:
    write("InPlace")
    text = (
        Path("net.prototxt").read_text().replace('"mine" python', '"conv" python').replace('"mine" top', '"conv" top')
    )
    Path("net.prototxt").write_text(text)
    Path("plain.prototxt").write_text(
        text.replace(f'"Python" bottom: "conv" top: "conv" python_param {{ module: "{MODULE}" layer: "InPlace" }}',
                     '"Power" bottom: "conv" top: "conv" power_param { scale: 3 }')
    )  # fmt: skip
    with netdef.allow_python():
        nets = [caffe.Net(name, caffe.TRAIN) for name in ("net.prototxt", "plain.prototxt")]
        graphs = [netdef.load_net(name, "TRAIN") for name in ("net.prototxt", "plain.prototxt")]
    nets[1].share_with(nets[0])
    for net in nets:
        net.forward()
        net.backward()
    np.testing.assert_allclose(nets[0].blobs["conv"].data, nets[1].blobs["conv"].data, rtol=1e-6)
    np.testing.assert_allclose(nets[0].params["conv"][0].diff, nets[1].params["conv"][0].diff, rtol=1e-5)
    losses, gradients = [], []
    for each in graphs:
        module = build_module(each, with_loss=True, rng=np.random.default_rng(2))
        outputs, loss = module()
        loss.backward()
        losses.append(outputs["loss"].item())
        gradients.append(module.get_parameter("conv.weight").grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(*gradients)


def test_half_precision_reaches_a_layer_as_float32() -> None:
    write("Same")
    with netdef.allow_python():
        net = netdef.load_net("net.prototxt", "TRAIN")
    module = build_module(net, with_loss=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, loss = module()
    loss.backward()
    assert torch.isfinite(outputs["loss"])
    assert module.get_parameter("conv.weight").grad.abs().sum() > 0


def test_a_copy_of_the_net_computes_with_its_own_weights() -> None:
    write("ModuleFails")
    with netdef.allow_python():
        module = build_module(netdef.load_net("net.prototxt", "TRAIN"), outputs=["mine"])
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.get_parameter("mine.inner.weight").zero_()
        other.get_parameter("mine.inner.bias").zero_()
    assert not other()["mine"].any()
    assert module()["mine"].any()


@pytest.mark.parametrize(
    ("code", "says", "help"),
    [
        pytest.param("\nraise OSError('gone')", "OSError: gone (", "", id="raises"),
        pytest.param("\nprint 'hello'", "SyntaxError: ", "Python 3", id="Python 2"),
        pytest.param("import caffe", "No module named 'caffe'", "import netdef.pycaffe as caffe", id="caffe"),
        pytest.param("import netdef_not_there", "No module named 'netdef_not_there'", "", id="something else lacks"),
    ],
)
def test_a_module_that_cannot_be_imported(tmp_path: Path, code: str, says: str, help: str) -> None:
    (tmp_path / f"{MODULE}.py").write_text(code)
    write("Same")
    with allowing(PythonHost()):
        found = [d for d in compiled(Path("net.prototxt").read_text()).diagnostics if d.severity.value == "error"]
    assert {d.code for d in found} == {"ND0483"}
    assert says in found[0].message
    assert help in "".join(found[0].help)
    assert "PYTHONPATH" not in "".join(found[0].help)


def test_building_tells_the_place_too() -> None:
    """A class that can be made once and not again: the first object is that whose shapes were asked for."""
    write("Same")
    with allowing(PythonHost()):
        net = graph(Path("net.prototxt").read_text())
    build_module(net)
    sys.modules[MODULE].Same.setup = lambda *_: 1 / 0
    with pytest.raises(NetdefError) as caught:
        build_module(net)
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.line) == ("ND0484", 5)
    assert "ZeroDivisionError" in found.message


def test_what_data_made_in_python_cannot_be_asked_for() -> None:
    """Rows to learn by heart, and parts of a batch for several processes."""
    write("Same")
    config, _ = read_config("solver.prototxt")
    with netdef.allow_python():
        with pytest.raises(NetdefError, match=r'ND0730.*"data" makes its data in Python'):
            overfit(config, 2)
        net = netdef.load_net("net.prototxt", "TRAIN")
    random = Randomness(1, torch.device("cpu"))
    random.team = replace(ALONE, world=2)
    with pytest.raises(NetdefError, match=r'ND0721.*Python layer "data" makes whole batches'):
        build_train(net, config, Style(torch.device("cpu"), channels_last=False), random)


def test_gradients_are_checked_in_double_precision(monkeypatch, capsys) -> None:
    write("Same")
    monkeypatch.setattr(sys, "argv", ["netdef", "gradcheck", "solver.prototxt", "--allow-python", "--format", "json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert json.loads(capsys.readouterr().out)["agrees"] is True


OVER = """
layer {{ name: "data" type: "DummyData" top: "data" dummy_data_param {{ shape {{ dim: 2 dim: 3 }}
  data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "mine" type: "Python" bottom: "data" top: "mine"
  python_param {{ module: "{module}" layer: "WritesOver" }} }}
"""


def test_a_constant_batch_comes_anew_where_a_layer_writes_over_it() -> None:
    Path("over.prototxt").write_text(OVER.format(module=MODULE))
    with netdef.allow_python():
        net = netdef.load_net("over.prototxt", "TRAIN")
        module = build_module(net, outputs=["mine"])
    feed = Feed(net, module.meta["inputs"], device=torch.device("cpu"), base_dir=None, seed=1)
    for _ in range(3):
        assert module(**feed.next())["mine"].tolist() == [[2.0] * 3] * 2
    feed.close()
