"""`netdef eject`, `fold` and `deploy-net` as a user runs them: exit codes, streams, files."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import netdef
from netdef.cli import main
from netdef.weights import read_weights
from tests.golden_cases import GOLDEN

EXAMPLES = Path(__file__).parents[2] / "examples"
RESIDUAL = GOLDEN / "nets/residual/net.prototxt"
WEIGHTS = GOLDEN / "nets/residual/weights.caffemodel"
LENET = EXAMPLES / "lenet/train_val.prototxt"
SHAPES = ("--shape", "data=100x1x28x28")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `netdef …`."""
    monkeypatch.setattr(sys, "argv", ["netdef", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_eject_with_weights(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "eject", RESIDUAL, "-w", WEIGHTS, "-o", tmp_path / "model.py") == 0
    out, err = capsys.readouterr()
    assert (err, out) == ("", f"{tmp_path}/model.py, its weights in {tmp_path}/model.safetensors\n")
    assert 'load_weights("model.safetensors")' in (tmp_path / "model.py").read_text()
    given, written = read_weights(WEIGHTS), read_weights(tmp_path / "model.safetensors")
    assert set(written) == set(given)
    assert all(np.array_equal(a, b) for name in given for a, b in zip(given[name], written[name], strict=True))


def test_the_ejected_file_is_used_as_its_head_says_with_torch_alone(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "eject", RESIDUAL, "-w", WEIGHTS, "-o", tmp_path / "model.py") == 0
    head = ast.get_docstring(ast.parse((tmp_path / "model.py").read_text())) or ""
    use = textwrap.dedent(head.partition("Use:\n")[2])
    alone = "import sys\nsys.modules.update(netdef=None, safetensors=None)\nimport torch\nfrom model import *\n"
    script = f"{alone}{use}\ntorch.save({{'fc': fc, **net.state_dict()}}, 'found.pt')\n"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    weights = load_file(tmp_path / "model.safetensors")
    assert {*found} == {"fc", *weights}
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    module = netdef.build(netdef.load_net(RESIDUAL), WEIGHTS)
    torch.testing.assert_close(found["fc"], module(data=torch.zeros(2, 3, 16, 16))["fc"], rtol=1e-5, atol=1e-6)


def test_eject_of_a_net_that_trains(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "eject", LENET, *SHAPES, "-o", tmp_path / "model.py") == 0
    assert capsys.readouterr().out.startswith("left out: accuracy, loss\n")
    assert "softmax_loss" not in (tmp_path / "model.py").read_text()
    shapes = ("--shape", "data=64x1x28x28", "--phase", "TRAIN")
    assert run(monkeypatch, "eject", LENET, *shapes, "-o", tmp_path / "model.py") == 0
    assert "loss = softmax_loss(ip2, label)" in (tmp_path / "model.py").read_text()


def test_eject_of_a_folded_net(monkeypatch, tmp_path):
    assert run(monkeypatch, "eject", RESIDUAL, "-w", WEIGHTS, "--fold", "-o", tmp_path / "model.py") == 0
    source = (tmp_path / "model.py").read_text()
    assert "BatchNorm" not in source
    names: dict[str, Any] = {}
    exec(compile(source, "model.py", "exec"), names)
    folded = names["Net"]().eval()
    folded.load_state_dict(load_file(tmp_path / "model.safetensors"))
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    before = netdef.build(netdef.load_net(RESIDUAL), WEIGHTS)(data=x)["fc"].detach()
    assert float((before - folded(x).detach()).abs().max()) <= 1e-5 * float(before.abs().max())


def test_eject_from_python(tmp_path):
    netdef.eject(netdef.load_net(RESIDUAL), tmp_path / "net.py", weights=WEIGHTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.py", "net.safetensors"]


def test_fold(monkeypatch, capsys, tmp_path):
    files = tmp_path / "out.prototxt", tmp_path / "out.caffemodel"
    assert run(monkeypatch, "fold", RESIDUAL, "-w", WEIGHTS, "-o", *files) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{files[0]} and {files[1]}: 17 layers of 29\n" in out
    assert run(monkeypatch, "check", files[0]) == 0
    assert "BatchNorm" not in files[0].read_text()
    assert {"conv1", "fc"} <= set(read_weights(files[1]))
    assert not {"bn_conv1", "scale_conv1"} & set(read_weights(files[1]))
    assert_same_output(files)


def assert_same_output(files):
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    nets = [netdef.build(netdef.load_net(net), w) for net, w in ((RESIDUAL, WEIGHTS), files)]
    before, after = (net(data=x)["fc"].detach() for net in nets)
    assert float((before - after).abs().max()) <= 1e-5 * float(before.abs().max())


def test_deploy_net(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "deploy-net", LENET, *SHAPES) == 0
    out, err = capsys.readouterr()
    assert out == (EXAMPLES / "lenet/deploy.prototxt").read_text()
    assert err == "left out: accuracy, loss\n"
    assert run(monkeypatch, "deploy-net", LENET, *SHAPES, "-o", tmp_path / "d.prototxt") == 0
    assert (tmp_path / "d.prototxt").read_text() == out


def test_export_folds_unless_told_otherwise(monkeypatch, capsys, tmp_path):
    arguments = ("export", RESIDUAL, "-w", WEIGHTS, "-o", tmp_path / "m.onnx")
    assert run(monkeypatch, *arguments) == 0
    out = capsys.readouterr().out
    assert "folded: bn_conv1, scale_conv1, bn_r1_a" in out
    assert "all 16 blobs" in out or "of 16 blobs" in out
    assert run(monkeypatch, "verify", tmp_path / "m.onnx", RESIDUAL, "-w", WEIGHTS) == 0
    assert run(monkeypatch, *arguments, "--no-fold") == 0
    assert "folded" not in capsys.readouterr().out


NORMALISED = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "data" }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
"""


def test_an_input_keeps_its_name_when_the_layer_on_it_is_folded(monkeypatch, capsys, tmp_path):
    (tmp_path / "net.prototxt").write_text(NORMALISED)
    assert run(monkeypatch, "export", tmp_path / "net.prototxt", "-o", tmp_path / "m.onnx") == 0
    out = capsys.readouterr().out
    assert "folded: bn\n" in out
    assert "data batchx3x8x8 -> conv batchx4x6x6" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("eject", RESIDUAL, "-o", "/nowhere/m.py"), 3, "ND0914"),
        (("eject", LENET, "-o", "m.py"), 1, "ND0321"),
        (("eject", RESIDUAL, "--fold", "-o", "m.py"), 2, "takes --weights"),
        (("eject", RESIDUAL, "-o", "m.safetensors"), 2, "the Python file"),
        (("deploy-net", LENET), 1, "ND0321"),
        (("fold", RESIDUAL, "-w", WEIGHTS, "-o", "out.prototxt"), 2, "requires 2 arguments"),
        (("fold", RESIDUAL, "-w", WEIGHTS, "-o", "a.prototxt", "a.txt"), 1, "ND0616"),
        (("fold", RESIDUAL, "-w", "none.caffemodel", "-o", "a.prototxt", "a.caffemodel"), 1, "ND0601"),
    ],
    ids=[
        "no folder",
        "eject, sizes unknown",
        "eject, nothing to fold",
        "eject, no Python file",
        "deploy-net, sizes unknown",
        "one file",
        "no format",
        "no weights",
    ],
)
def test_mistakes(monkeypatch, capsys, tmp_path, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == code
    assert says in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("command", ["eject", "fold", "deploy-net"])
def test_a_net_that_has_nothing_to_deploy(monkeypatch, capsys, tmp_path, command):
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 } } }\n'
        'layer { name: "s" type: "Silence" bottom: "d" }'
    )
    outputs = {"fold": ["-w", WEIGHTS, "-o", tmp_path / "n.prototxt", tmp_path / "n.caffemodel"]}
    assert run(monkeypatch, command, net, *outputs.get(command, ["-o", tmp_path / "n.py"])) == 1
    assert 'error[ND0906]: net "" computes nothing that could be deployed' in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [net]
