"""Are classes counted as a loop would count them, and shown so that a person can read it?"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from netdef.cli.confusion import table
from netdef.cli.main import group
from netdef.diagnostics import NetdefError
from netdef.layers.metric import Accuracy
from netdef.solver.confusion import Confusion, count
from tests.solver import small_run

SMALL = Confusion("accuracy", np.array([[3, 1, 0], [2, 0, 0], [0, 0, 0]]))


@pytest.mark.parametrize("ignore", [None, 1])
@pytest.mark.parametrize(("shape", "axis"), [((50, 4), 1), ((3, 4, 2, 5), 1), ((3, 2, 4), -1)])
def test_counts(shape: tuple[int, ...], axis: int, ignore: int | None) -> None:
    rng = np.random.default_rng(5)
    scores = rng.standard_normal(shape).round(1).astype(np.float32)
    labels = rng.integers(0, 4, scores.size // 4)
    expected = np.zeros((4, 4), int)
    for row, label in zip(np.moveaxis(scores, axis, -1).reshape(-1, 4), labels, strict=True):
        if label != ignore:
            others = [k for k in range(4) if k != label]
            best = max(others, key=lambda k: row[k])
            expected[label, label if row[label] > row[best] else best] += 1
    found = count(torch.tensor(scores), torch.tensor(labels).float(), Accuracy(1, axis, ignore))
    assert found.tolist() == expected.tolist()


def test_a_gpu_is_not_waited_for() -> None:
    """No number is asked for, nor a size that depends on numbers: tensors without any would refuse."""
    layer = SimpleNamespace(axis=1, counting=SimpleNamespace(ignore_label=2))
    scores, labels = torch.empty(6, 4, device="meta"), torch.empty(6, device="meta")
    assert count(scores, labels, layer).shape == (4, 4)


def test_ratios_by_hand() -> None:
    assert SMALL.accuracy == 3 / 6
    np.testing.assert_array_equal(SMALL.recall, [3 / 4, 0, np.nan])
    np.testing.assert_array_equal(SMALL.precision, [3 / 5, 0, np.nan])
    np.testing.assert_array_equal(SMALL.f1, [6 / 9, 0, np.nan])
    assert SMALL.plain()["recall"] == [0.75, 0.0, None]


def test_table() -> None:
    assert list(table(SMALL)) == [
        '"accuracy": 6 labels, accuracy 0.5000, mean precision 0.3000, mean recall 0.3750, mean F1 0.3333',
        "  class   labels  predicted  precision   recall       F1",
        "      0        4          5     0.6000   0.7500   0.6667",
        "      1        2          1     0.0000   0.0000   0.0000",
        "      2        0          0          -        -        -",
        "Rows are true classes, columns predicted ones:",
        "        0 1 2",
        "      0 3 1 0",
        "      1 2 0 0",
        "      2 0 0 0",
    ]


def test_many_classes_show_the_worst() -> None:
    counts = np.diag(np.arange(30)) + np.eye(30, k=1, dtype=int)
    lines = list(table(Confusion("accuracy", counts)))
    assert lines[1] == "The 20 of 30 classes with the lowest recall:"
    assert len(lines) == 23
    assert lines[3].split()[:2] == ["0", "1"]


@pytest.mark.parametrize("accuracy", [True, False], ids=["accuracy", "softmax_loss"])
def test_command(tmp_path: Path, accuracy: bool) -> None:
    net = small_run.NET if accuracy else _without_accuracy()
    path = small_run.make(tmp_path, net=net)
    (found,) = json.loads(_netdef("test", path, "--confusion", "--format", "json"))
    (confusion,) = found["confusion"]
    assert np.sum(confusion["counts"]) == 18
    assert confusion["layer"] == ("accuracy" if accuracy else "loss")
    if accuracy:
        assert confusion["accuracy"] == pytest.approx(found["outputs"]["accuracy"], rel=1e-6)
    said = _netdef("test", path, "--confusion").splitlines()
    assert said[-4] == "        0 1 2" or "Rows are true classes, columns predicted ones:" in said


def test_nothing_to_count(tmp_path: Path) -> None:
    net = _without_accuracy().replace("SoftmaxWithLoss", "HingeLoss")
    with pytest.raises(NetdefError) as failure:
        _netdef("test", small_run.make(tmp_path, net=net), "--confusion")
    assert [d.code for d in failure.value.diagnostics] == ["ND0717"]


def _without_accuracy() -> str:
    return "".join(line for line in small_run.NET.splitlines(keepends=True) if "Accuracy" not in line)


def _netdef(*args: str | Path) -> str:
    result = CliRunner().invoke(group, [str(arg) for arg in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout
