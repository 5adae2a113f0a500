"""Graphs written again: the text compiles to the same graph, and to the deploy files that people wrote."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from netdef.diagnostics import NetdefError, Source
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.graph.load import check, load_written
from netdef.graph.prototxt import prototxt as text_of
from netdef.graph.write import to_message
from netdef.ir import Graph, Shape, dump
from netdef.schema.print import print_message
from netdef.text import format_document, parse
from tests.golden_cases import cases, prototxt

EXAMPLES = Path(__file__).parents[2] / "examples"
TEST = Options(phase="TEST")


def again(text: str) -> Graph:
    return load(Source("again.prototxt", text), TEST)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXAMPLES.glob("*/train_val.prototxt")))
def test_examples_become_their_deploy_files(name: str) -> None:
    path = EXAMPLES / name / "train_val.prototxt"
    expected = load(EXAMPLES / name / "deploy.prototxt", TEST)
    batch = load(path, TEST).inputs[0].shape[0]
    shape = Shape((batch, *expected.inputs[0].shape.sizes[1:]))
    graph, messages = load_written(path, Options(phase="TEST", shapes={"data": shape}))
    text = text_of(deploy(graph), messages)
    assert dump(again(text)) == dump(expected)
    checked = check(Source("again.prototxt", text), Options())
    assert checked.diagnostics == ()
    assert format_document(parse(Source("again.prototxt", text)).document) == text


def test_lenet_is_written_as_a_person_did() -> None:
    path = EXAMPLES / "lenet" / "train_val.prototxt"
    shapes = {"data": Shape.of(100, 1, 28, 28)}
    graph, messages = load_written(path, Options(phase="TEST", shapes=shapes))
    assert text_of(deploy(graph), messages) == (EXAMPLES / "lenet" / "deploy.prototxt").read_text()


@pytest.mark.parametrize("case", [*cases("nets"), *cases("layers")], ids=lambda case: case["name"])
def test_golden_cases_stay_what_they_are(case: dict[str, Any]) -> None:
    graph, messages = load_written(prototxt(case), TEST)
    deployed = deploy(graph)
    if deployed.outputs:
        found = again(print_message(to_message(deployed, messages)))
        assert dump(found) == re.sub(r" loss\*\S+", "", dump(deployed))  # no loss is deployed


NET = """
layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 8 dim: 4 } } include { phase: TEST } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" lr_mult: 2 } param { lr_mult: 3 }
        inner_product_param { num_output: 4 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } param { decay_mult: 0 }
        inner_product_param { num_output: 4 } propagate_down: true }
"""


def test_of_param_the_shared_names_stay() -> None:
    graph, messages = load_written(Source("net.prototxt", NET), TEST)
    text = text_of(deploy(graph), messages)
    assert text.count('  param { name: "w" }\n  param {}\n') == 2
    for word in ("lr_mult", "decay_mult", "include", "propagate_down"):
        assert word not in text
    assert "input_param { shape { dim: 1 dim: 4 } }" in text


def test_a_name_that_nothing_shares_any_more_goes() -> None:
    other = NET.replace('top: "b" param { name: "w" }', 'top: "b" param { name: "v" }')
    graph, messages = load_written(Source("net.prototxt", other), TEST)
    text = text_of(deploy(graph), messages)
    assert 'name: "w"' not in text
    assert 'name: "v"' not in text
    assert "  param {" not in text


def test_batch_stays_where_a_layer_needs_it() -> None:
    fixed = (
        'layer { name: "r" type: "Reshape" bottom: "b" top: "r" reshape_param { shape { dim: 8 dim: 2 dim: 2 } } }\n'
    )
    graph, messages = load_written(Source("net.prototxt", NET + fixed), TEST)
    assert "input_param { shape { dim: 8 dim: 4 } }" in text_of(deploy(graph), messages)


CORPUS = Path(__file__).parents[3] / "shared/corpus"
STATES_SIZES = re.compile(r"\binput|(DUMMY|MEMORY|HDF5|IMAGE|WINDOW)_?DATA", re.IGNORECASE)


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")
def test_real_nets_stay_what_they_are() -> None:
    written = 0
    for path in sorted(CORPUS.rglob("*.prototxt")):
        if not STATES_SIZES.search(path.read_text(errors="replace")):
            continue  # its sizes are in a database
        try:
            graph, messages = load_written(path, TEST)
        except NetdefError:
            continue  # a solver, or a fork's net
        deployed = deploy(graph)
        if deployed.outputs and all(blob.shape.known for blob in deployed.blobs.values()):
            found = again(print_message(to_message(deployed, messages)))
            assert dump(found) == re.sub(r" loss\*\S+", "", dump(deployed)), path
            written += 1
    assert written >= 100
