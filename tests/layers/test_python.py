"""Python layers: refused unless allowed, and both kinds of class run forward, backward, with parameters."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from netdef.diagnostics import NetdefError, RunError
from netdef.ir import Shape
from netdef.layers.python import allowing
from netdef.nn.python_host import PythonHost
from netdef.targets.torch import build_module, tensors
from tests.graph.compiling import compiled, graph

MODULE = "netdef_test_user_layers"
CODE = '''
import numpy as np
import torch
from netdef.nn.python_layer import Layer

class Distance(Layer):
    """Caffe's example of a loss in Python: ||a - b||^2 / 2N."""
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError("two bottoms, please")
    def reshape(self, bottom, top):
        self.diff = np.zeros_like(bottom[0].data)
        top[0].reshape(1)
    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2
    def backward(self, top, propagate_down, bottom):
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].diff[...] = sign * self.diff / bottom[i].num

class Factor(Layer):
    """y = w x, w from param_str; a second top with the phase."""
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = float(self.param_str)
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        top[1].reshape(bottom[0].num, bottom[0].channels, bottom[0].height, bottom[0].width)
    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data * bottom[0].data
        top[1].data[...] = self.phase
    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum()
        bottom[0].diff[...] = top[0].diff * self.blobs[0].data

class Affine(torch.nn.Module):
    def __init__(self, width="3"):
        super().__init__()
        self.inner = torch.nn.Linear(3, int(width))
        torch.nn.init.constant_(self.inner.weight, 2.0)
    def forward(self, x):
        return self.inner(x)

class Fails(torch.nn.Module):
    def forward(self, x):
        raise KeyError("what")

class FailsLater(Distance):
    def forward(self, bottom, top):
        raise KeyError("what")

class Source(Layer):
    def setup(self, bottom, top):
        self.count = 0
    def reshape(self, bottom, top):
        top[0].reshape(2, 3)
    def forward(self, bottom, top):
        self.count += 1
        top[0].data[...] = self.count

neither = 3
class Neither: pass
'''
INPUTS = "input: 'x' input_shape { dim: [2, 3] } input: 'y' input_shape { dim: [2, 3] } force_backward: true"


@pytest.fixture(autouse=True)
def _module(tmp_path, monkeypatch):
    (tmp_path / f"{MODULE}.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop(MODULE, None)


def layer(kind: str, more: str, param_str: str = "") -> str:
    fields = f"module: '{MODULE}' layer: '{kind}' param_str: '{param_str}'"
    return f"{INPUTS} layer {{ name: 'l' type: 'Python' {more} python_param {{ {fields} }} }}"


def allowed(text: str):
    with allowing(PythonHost()):
        return graph(text)


def test_nothing_is_imported_without_consent():
    text = layer("Affine", "bottom: 'x' top: 'h'")
    result = compiled(text)
    assert [(d.code, d.severity.value) for d in result.diagnostics] == [("ND0485", "warning")]
    assert "--allow-python" in "".join(result.diagnostics[0].help)
    assert result.graph is not None
    assert not result.graph.blobs["h"].shape.ranked
    assert MODULE not in sys.modules
    with pytest.raises(NetdefError, match="ND0485"):
        build_module(result.graph)
    assert MODULE not in sys.modules


def test_caffes_protocol():
    net = allowed(layer("Distance", "bottom: 'x' bottom: 'y' top: 'loss' loss_weight: 2"))
    assert net.blobs["loss"].shape == Shape.of(1)
    module = build_module(net, with_loss=True)
    x, y = (torch.randn(5, 3, requires_grad=True) for _ in range(2))
    outputs, loss = module(x=x, y=y)
    expected = ((x - y) ** 2).sum() / 10
    assert torch.allclose(outputs["loss"], expected)
    loss.backward()
    # The example's backward leaves the top's diff out of account, as many real ones do.
    assert torch.allclose(x.grad, ((x - y) / 5).detach())
    assert torch.allclose(y.grad, ((y - x) / 5).detach())


def test_parameters_and_several_tops():
    net = allowed(layer("Factor", "bottom: 'x' top: 'h' top: 'phase' param { lr_mult: 3 }", "4"))
    module = build_module(net)
    (param,) = net.params.values()
    assert (param.id, param.lr_mult, param.spec.shape) == ("l.blob0", 3, Shape.of(1))
    held = tensors(module, net)["l.blob0"]
    assert held.item() == 4
    with torch.no_grad():
        held.fill_(5)
    x = torch.randn(2, 3, requires_grad=True)
    out = module(x=x, y=x)
    assert torch.allclose(out["h"], 5 * x)
    assert torch.equal(out["phase"], torch.ones(2, 3, 1, 1))
    out["h"].sum().backward()
    assert torch.allclose(x.grad, torch.full((2, 3), 5.0))
    assert torch.allclose(held.grad, x.sum().detach())


def test_torch_module():
    net = allowed(layer("Affine", "bottom: 'x' top: 'h'", "7"))
    assert net.blobs["h"].shape == Shape.of(2, 7)
    module = build_module(net)
    assert list(module.state_dict()) == ["l.inner.weight", "l.inner.bias"]
    assert [param.id for param in net.params.values()] == ["l.inner.weight", "l.inner.bias"]
    assert torch.equal(module.state_dict()["l.inner.weight"], torch.full((7, 3), 2.0))
    x = torch.randn(2, 3)
    assert torch.allclose(module(x=x, y=x)["h"], module.get_submodule("l.inner")(x))


def test_a_source_without_bottoms():
    net = allowed(layer("Source", "top: 'd'"))
    module = build_module(net)
    x = torch.zeros(2, 3)
    assert [module(x=x, y=x)["d"][0, 0].item() for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(
    ("kind", "more", "code", "says"),
    [
        pytest.param("Afine", "bottom: 'x' top: 'h'", "ND0483", 'no class "Afine"', id="no class"),
        pytest.param("Neither", "bottom: 'x' top: 'h'", "ND0483", "neither a torch module", id="neither kind"),
        pytest.param("neither", "bottom: 'x' top: 'h'", "ND0483", "no class", id="no type"),
        pytest.param("Affine", "bottom: 'x' top: 'h' top: 'i'", "ND0483", "1 tensors for 2 tops", id="too many tops"),
        pytest.param("Fails", "bottom: 'x' top: 'h'", "ND0484", "KeyError: 'what' (", id="module raises"),
        pytest.param("Distance", "bottom: 'x' top: 'h'", "ND0484", "two bottoms, please", id="setup raises"),
    ],
)
def test_faults(kind, more, code, says):
    with allowing(PythonHost()):
        found = compiled(layer(kind, more)).diagnostics
    assert [d.code for d in found] == [code]
    assert says in found[0].message


def test_no_module():
    text = layer("A", "top: 'h'").replace(MODULE, "netdef_no_such_module")
    with allowing(PythonHost()):
        found = compiled(text).diagnostics
    assert [d.code for d in found] == ["ND0483"]
    assert "netdef_no_such_module" in found[0].message


def test_a_fault_while_it_runs():
    module = build_module(allowed(layer("FailsLater", "bottom: 'x' bottom: 'y' top: 'h'")))
    with pytest.raises(RunError, match="KeyError") as caught:
        module(x=torch.zeros(2, 3), y=torch.zeros(2, 3))
    assert f"{MODULE}.py:" in str(caught.value)


def test_the_flag(tmp_path, monkeypatch, capsys):
    from netdef.cli import main

    path = Path(tmp_path / "net.prototxt")
    path.write_text(layer("Affine", "bottom: 'x' top: 'h'"))
    for flags, says in (((), "ND0485"), (("--allow-python",), "all good"), ((), "ND0485")):
        monkeypatch.setattr(sys, "argv", ["netdef", "check", str(path), *flags])
        with pytest.raises(SystemExit):
            main()
        assert says in capsys.readouterr().err


def test_double_precision_is_kept():
    module = build_module(allowed(layer("Factor", "bottom: 'x' top: 'h' top: 'phase'", "4"))).double()
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert module(x=x, y=x)["h"].dtype == torch.float64
    assert torch.autograd.gradcheck(lambda x: module(x=x, y=x)["h"], x)
    assert np.isfinite(module.l.blob0.item())
