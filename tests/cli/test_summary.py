"""Does `netdef summary` show each layer's figures, and what becomes of sizes that are not known?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from netdef.cli.summary import command

NET = """
name: "Small"
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 2 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" include { phase: TRAIN } }
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def summary(*args: str | Path) -> str:
    result = CliRunner().invoke(command, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(*args: str | Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(summary(*args, "--format", "json"))
    return told


def row(told: dict[str, Any], layer: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in told["rows"] if row["layer"] == layer)
    return found


def test_figures_by_hand(net: Path) -> None:
    """Convolution: 4 kernels of 3x3x3 and a bias each, at 8x8 places of 2 images; 4 * 8 * 8 * 5 weights then."""
    told = as_json(net, "--shape", "data=2x3x10x10")
    assert (row(told, "conv")["parameters"], row(told, "conv")["multiply_adds"]) == (112, 2 * 64 * 4 * 27)
    assert (row(told, "ip")["parameters"], row(told, "ip")["multiply_adds"]) == (1285, 2 * 256 * 5)
    assert told["cost"]["parameters"] == 112 + 1285
    assert told["training_bytes"] > 0


def test_unknown_sizes_stay_unknown(net: Path) -> None:
    told = as_json(net)
    assert row(told, "conv")["parameters"] is None
    assert told["cost"]["parameters"] is None
    assert told["training_bytes"] is None
    assert "--shape data=64x3x227x227 supplies them" in summary(net)


@pytest.mark.parametrize(("phase", "last"), [("TRAIN", "loss"), ("TEST", "ip")])
def test_phases(net: Path, phase: str, last: str) -> None:
    assert as_json(net, "--phase", phase)["rows"][-1]["layer"] == last


def test_nothing_is_cut_where_a_program_reads(net: Path) -> None:
    text = summary(net, "--shape", "data=2x3x10x10").replace("…", "CUT")
    assert "CUT" not in text
    assert "2x4x8x8" in text
    assert "Convolution" in text
