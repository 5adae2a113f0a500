"""Are the curves drawn that a run has, and only these?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netdef.diagnostics import NetdefError
from netdef.report.curves import draw_curves, smoothed
from netdef.report.history import History

RUN = History("run", {0: 2.0, 10: 1.0, 20: 0.5}, {0: 0.1, 10: 0.01}, {"loss": {0: 2.1}}, {"accuracy": {0: 0.1}})


@pytest.mark.parametrize(
    ("reach", "expected"),
    [(0, [1, 2, 6, 4, 5]), (1, [1, 3, 4, 5, 4.5]), (9, [1, 3, 3.6, 3.6, 3.6])],
    ids=["none", "neighbours", "as far as the ends allow"],
)
def test_smoothing_ends_in_a_mean_and_begins_with_the_first_value(reach: int, expected: list[float]) -> None:
    assert smoothed([1, 2, 6, 4, 5], reach) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("run", "panels"),
    [
        pytest.param(RUN, 3, id="all"),
        pytest.param(History("run", RUN.loss), 1, id="loss alone"),
        pytest.param(History("run", {}, {}, {}, RUN.scores), 1, id="scores alone"),
        pytest.param(History("run", RUN.loss, RUN.rate), 2, id="no tests"),
    ],
)
def test_there_is_a_panel_for_each_kind(run: History, panels: int, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("matplotlib")
    draw_curves([run, RUN] if panels == 3 else [run], tmp_path / "c.png")
    height = cv2.imread(str(tmp_path / "c.png")).shape[0]
    # 0.9 inches for the axis and title, and those of each panel, at 120 dots an inch.
    assert height == pytest.approx(120 * (0.9 + {3: 7.7, 2: 5.1, 1: 3.4 if run.loss else 2.6}[panels]), abs=2)


def test_svg_is_the_same_each_time_and_names_each_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    runs = [RUN, History("other", RUN.loss, RUN.rate)]
    draw_curves(runs, tmp_path / "a.svg", title="Two runs")
    draw_curves(runs, tmp_path / "b.svg", title="Two runs")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for word in ("Two runs", "run, train", "run, test", "other, train", "iteration", "learning rate", "test accuracy"):
        assert f"<!-- {word} -->" in text


def test_a_curve_without_points_has_no_name(tmp_path: Path) -> None:
    """A run without `display` has tests alone."""
    pytest.importorskip("matplotlib")
    draw_curves([RUN, History("quiet", {}, {}, RUN.test_losses, RUN.scores)], tmp_path / "c.svg")
    text = (tmp_path / "c.svg").read_text()
    assert "<!-- quiet, test -->" in text
    assert "quiet, train" not in text


@pytest.mark.parametrize("name", ["c.jpeg", "c", "c.png.txt"])
def test_other_endings_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(NetdefError) as failure:
        draw_curves([RUN], tmp_path / name)
    assert failure.value.diagnostics[0].code == "ND0034"
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(NetdefError) as failure:
        draw_curves([RUN], tmp_path / "c.png")
    (found,) = failure.value.diagnostics
    assert (found.code, found.help) == ("ND0031", ("install the extra: pip install 'netdef[viz]'",))
