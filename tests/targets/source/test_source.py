"""The ejected file, run where there is no netdef, against netdef's own module: the same bits, the same state_dict."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from netdef.data.probe import prober
from netdef.diagnostics import NetdefError, Source
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.ir import Graph, Shape
from netdef.layers.record import Call, Value
from netdef.schema import netdef_pb2 as pb
from netdef.schema.print import print_message
from netdef.targets.source import write_source
from netdef.targets.source.code import call, flat, lines, row, text
from netdef.targets.source.express import constant, constructor
from netdef.targets.source.inline import library
from netdef.targets.torch import build_module
from tests.golden_cases import cases, prototxt

REPOSITORY = Path(__file__).parents[3]
RUNNER = """
import json, sys
sys.modules["netdef"] = None  # any import of it fails
import torch
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
for folder in sys.argv[1:]:
    names = {}
    exec(compile(open(f"{folder}/model.py").read(), f"{folder}/model.py", "exec"), names)
    about = json.load(open(f"{folder}/about.json"))
    net = names["Net"]().train(about["training"])
    weights = load_file(f"{folder}/model.safetensors")
    assert list(sorted(net.state_dict())) == list(sorted(weights)), folder
    net.load_state_dict(weights)
    inputs = load_file(f"{folder}/inputs.safetensors")
    torch.manual_seed(7)
    with torch.no_grad():
        found = net(*(inputs[name] for name in about["inputs"]))
    loss = {}
    if isinstance(found, tuple):
        loss, found = {"(loss)": found[0]}, found[1]
    found = found if isinstance(found, dict) else {about["outputs"][0]: found}
    save_file({k: v.contiguous().clone() for k, v in {**found, **loss}.items()}, f"{folder}/found.safetensors")
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the other process: how a sum is cut among threads decides its last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Net:
    """A net to eject, and the outputs that netdef's module has for the inputs given to both."""

    graph: Graph
    folder: Path

    def prepare(self) -> dict[str, torch.Tensor]:
        """Write the source, its weights and inputs; return what it must compute."""
        self.folder.mkdir(parents=True)
        (self.folder / "model.py").write_text(write_source(self.graph, weights="model.safetensors"))
        module = build_module(self.graph, with_loss=True, rng=np.random.default_rng(5))
        for name, buffer in module.named_buffers():
            if name.endswith(("factor", "variance")):
                buffer.fill_(1.5)
        save_file(
            {k: v.clone(memory_format=torch.contiguous_format) for k, v in module.state_dict().items()},
            self.folder / "model.safetensors",
        )
        generator = torch.Generator().manual_seed(3)
        inputs = {b.id: torch.rand(b.shape.known_sizes(), generator=generator).contiguous() for b in self.graph.inputs}
        save_file(inputs, self.folder / "inputs.safetensors")
        about = {
            "inputs": list(inputs),
            "outputs": [blob.name for blob in self.graph.outputs],
            "training": self.graph.phase == "TRAIN",
        }
        (self.folder / "about.json").write_text(json.dumps(about))
        torch.manual_seed(7)
        with torch.no_grad():
            names = module.meta["inputs"]
            found, loss = module(**{names[id]: value for id, value in inputs.items()})
        return {**found, **({} if loss is None else {"(loss)": loss})}


def compare(nets: Sequence[Net]) -> None:
    expected = {net.folder: net.prepare() for net in nets}
    ran = subprocess.run(
        [sys.executable, "-c", RUNNER, *map(str, expected)],
        cwd=nets[0].folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for folder, blobs in expected.items():
        found = load_file(folder / "found.safetensors")
        for name, value in blobs.items():
            if name in found:
                assert torch.equal(found[name], value), f"{folder.name}: {name}"
        assert set(found) <= set(blobs), folder


def golden(category: str) -> Iterator[tuple[str, Graph]]:
    for case in cases(category):
        if case["name"] != "infogain_source":  # reads a file
            yield case["name"], load(prototxt(case), Options(phase=case["phase"]))


def example(name: str, phase: str = "TEST", file: str = "deploy", shapes: dict[str, Shape] | None = None) -> Graph:
    path = REPOSITORY / "examples" / name / f"{file}.prototxt"
    graph = load(path, Options(phase=phase, shapes=shapes or {}, probe=prober(path)))
    return graph if phase == "TRAIN" else deploy(graph)


def test_golden_nets_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    compare([Net(graph, tmp_path / name) for name, graph in golden("nets")])


@pytest.mark.slow
def test_golden_layers_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    compare([Net(graph, tmp_path / name) for name, graph in golden("layers")])


def test_constants_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    body = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "d" type: "DummyData" top: "rows" top: "two"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 3 }
                           data_filler { value: 0.3 } data_filler { value: 2 } } }
layer { name: "e" type: "Eltwise" bottom: "x" bottom: "rows" top: "e" }
layer { name: "s" type: "Scale" bottom: "e" bottom: "two" top: "s" }
"""
    graph = deploy(load(Source("net.prototxt", body), Options(phase="TEST")))
    assert [blob.id for blob in graph.inputs] == ["x"]
    compare([Net(graph, tmp_path / "net")])


def test_small_examples_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    shapes = {"data": Shape.of(64, 1, 28, 28), "label": Shape.of(64)}
    nets = {
        "digits": example("digits"),
        "lenet": example("lenet"),
        "lenet-train": example("lenet", "TRAIN", "train_val", shapes),
    }
    compare([Net(graph, tmp_path / name) for name, graph in nets.items()])


@pytest.mark.slow
def test_large_examples_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    names = ("alexnet", "googlenet", "resnet18")
    compare([Net(example(name), tmp_path / name) for name in names])


CORPUS = REPOSITORY.parent / "shared/corpus"


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")
@pytest.mark.parametrize("name", ["lenet_mnist", "mtcnn_det1", "mtcnn_det2", "mtcnn_det3"])
def test_real_models_are_the_same_bit_for_bit(name: str, tmp_path: Path) -> None:
    (path,) = (CORPUS / "weights" / name).glob("*.prototxt")
    compare([Net(deploy(load(path, Options(phase="TEST"))), tmp_path / name)])


LENET = '''"""LeNet in PyTorch, from deploy.prototxt; "line" is a line of that file.

Use:
    net = Net().eval()
    prob = net(torch.zeros(1, 1, 28, 28))
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Net(nn.Module):
    """LeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.ip1 = nn.Linear(800, 500)
        self.ip2 = nn.Linear(500, 10)

    def forward(self, data: Tensor) -> Tensor:
        """From data (1x1x28x28) to prob (1x10)."""
        conv1 = self.conv1(data)  # line 10
        pool1 = F.max_pool2d(conv1, 2, 2, ceil_mode=True)  # line 23
        conv2 = self.conv2(pool1)  # line 35
        pool2 = F.max_pool2d(conv2, 2, 2, ceil_mode=True)  # line 48
        ip1 = self.ip1(pool2.flatten(1))  # line 60
        ip1 = F.relu(ip1, inplace=True)  # line 72
        ip2 = self.ip2(ip1)  # line 79
        prob = torch.softmax(ip2, dim=1)  # line 91
        return prob
'''


def test_lenet_reads_like_this() -> None:
    assert write_source(example("lenet")) == LENET


def graph_of(body: str) -> Graph:
    data = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n'
    return load(Source("net.prototxt", data + body), Options(phase="TEST"))


def forward_of(body: str) -> list[str]:
    source = write_source(graph_of(body))
    return source[source.index("    def forward") :].splitlines()[2:]


FC = 'layer {{ name: "{0}" type: "InnerProduct" bottom: "data" top: "{1}" inner_product_param {{ num_output: 2 }} }}\n'
LAYER = 'layer {{ name: "{0}" type: "{0}" bottom: "{1}" top: "{2}" }}\n'
STATEMENTS = {
    "a layer's name that is no identifier": (
        FC.format("a/b", "a/b"),
        ['        a_b = getattr(self, "a/b")(data.flatten(1))  # line 2', "        return a_b"],
    ),
    "a layer's name that is a keyword": (
        FC.format("class", "lambda"),
        ["        lambda_ = self.class_(data.flatten(1))  # line 2", "        return lambda_"],
    ),
    "a blob that is called like a function": (
        FC.format("fc", "torch"),
        ["        torch_ = self.fc(data.flatten(1))  # line 2", "        return torch_"],
    ),
    "two blobs that differ in a sign alone": (
        FC.format("fc1", "a/b") + FC.format("fc2", "a_b"),
        [
            "        a_b = self.fc1(data.flatten(1))  # line 2",
            "        a_b_2 = self.fc2(data.flatten(1))  # line 3",
            '        return {"a/b": a_b, "a_b": a_b_2}',
        ],
    ),
    "an in-place layer writes over its variable": (
        LAYER.format("TanH", "data", "t") + LAYER.format("Exp", "t", "t"),
        ["        t = torch.tanh(data)  # line 2", "        t = torch.exp(t)  # line 3", "        return t"],
    ),
    "a tuple is taken apart, with a blank for what nobody reads": (
        LAYER.format("Slice", "data", 'a" top: "b" top: "c') + 'layer { name: "z" type: "Silence" bottom: "b" }\n',
        ["        a, _, c = torch.tensor_split(data, 3, dim=1)  # line 2", '        return {"a": a, "c": c}'],
    ),
}


@pytest.mark.parametrize(("body", "expected"), STATEMENTS.values(), ids=STATEMENTS)
def test_statements(body: str, expected: list[str]) -> None:
    assert forward_of(body) == expected


HOSTILE = 'x"); import os; os.abort() #\\" """ ' + "'''\n\x01"


def test_names_are_text_and_never_code() -> None:
    layer = pb.LayerParameter(name=HOSTILE, type="InnerProduct", bottom=["data"], top=[HOSTILE])
    layer.inner_product_param.num_output = 2
    graph = replace(graph_of(f"layer {{ {print_message(layer)} }}"), name=HOSTILE, path=f"{HOSTILE}/{HOSTILE}.prototxt")
    tree = ast.parse(write_source(graph, weights=HOSTILE))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"json", "torch"}
    tree.body = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]  # the loader, always the same
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {name for name in names if name[0] != "x"} <= {"super", "self", "nn", "data", "getattr", "Tensor"}


def test_frozen_and_shared_parameters() -> None:
    shared = 'param { name: "w" lr_mult: 0 } param { name: "b" }'
    body = FC.format("one", "one").replace("top:", f"{shared} top:") + FC.format("two", "two").replace(
        "top:", f"{shared} top:"
    )
    source = write_source(graph_of(body))
    assert "        self.two.weight = self.one.weight  # shared\n" in source
    assert "        self.one.weight.requires_grad_(False)\n" in source


def test_what_needs_netdef_is_refused() -> None:
    case = next(case for case in cases("layers") if case["name"] == "infogain_source")
    with pytest.raises(NetdefError) as caught:
        write_source(load(prototxt(case), Options(phase=case["phase"])))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "ND0930"
    assert "InfogainLoss" in diagnostic.message
    assert diagnostic.span is not None


def test_source_is_in_ruff_s_style(tmp_path: Path) -> None:
    for name, graph in (*golden("nets"), *golden("layers")):
        file = tmp_path / f"{name}.py"
        file.write_text(write_source(graph, weights="w.safetensors"))
        imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not any(str(node.module).startswith("netdef") for node in imports)
    options = ["--isolated", "--line-length", "120", str(tmp_path)]
    for command in (["check", "--select", "E,F,I,W,B,UP"], ["format", "--check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True, check=False
        )
        if "No module named ruff" in ran.stderr:
            pytest.skip("ruff is not there")
        assert ran.returncode == 0, ran.stdout


def test_a_function_comes_with_what_it_uses_and_no_more() -> None:
    found = library(["max_pool2d"])
    assert [text.split("(")[0] for text in found.definitions] == [
        "Pair = tuple[int, int]",
        "def max_pool2d",
        "def _padded",
    ]
    assert "type: ignore" not in "".join(library(["lrn_across"]).definitions)


LITERALS = [(1.5, "1.5"), (float("inf"), 'float("inf")'), ((1,), "(1,)"), ([2, None], "[2, None]"), ("a'b", '"a\'b"')]


@pytest.mark.parametrize(("value", "expected"), LITERALS, ids=[expected for _, expected in LITERALS])
def test_literals(value: object, expected: str) -> None:
    assert flat(constant(value)) == expected
    assert ast.literal_eval(expected) == value if "float" not in expected else True


def test_long_lines_are_broken_at_brackets() -> None:
    names = [f"a_rather_long_name_{i}" for i in range(8)]
    broken = list(lines(call("f", [row(names), "dim=1"]), 4, before="x = "))
    assert broken[0] == "    x = f("
    assert broken[1] == "        ("
    assert broken[-3:] == ["        ),", "        dim=1,", "    )"]
    assert text('say "hi"') == "'say \"hi\"'"


def test_a_module_s_defaults_are_left_out() -> None:
    made = Call("module", "netdef.nn.LSTM", (4, 5), (("static", 0), ("expose_hidden", True)), (), "l", Value("l"))
    assert flat(constructor(made)) == "LSTM(4, 5, expose_hidden=True)"
