"""What did a run go through? Its losses, scores and rates, read from metrics.jsonl or from a log in Caffe's words."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from netdef.diagnostics import Diagnostic, NetdefError, error
from netdef.files import PathLike
from netdef.solver.metrics import metrics_path, run_name
from netdef.solver.nets import read_config

Curve = dict[int, float]
"""A number by iteration; what was told twice (a resumed run) counts as told last."""

_NUMBER = r"([-+.\deE]+|-?nan|-?inf)"
_LINES = (
    ("train", re.compile(rf"Iteration (\d+)(?: \([^)]*\))?, loss = {_NUMBER}(?:, lr = {_NUMBER})?")),
    ("rate", re.compile(rf"Iteration (\d+), lr = {_NUMBER}")),
    ("testing", re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")),
    ("total", re.compile(rf"Test loss: {_NUMBER}")),
    ("output", re.compile(rf"Test net output #\d+: (\S+) = {_NUMBER}( \(\*)?")),
)
"""Lines of Caffe's solver.cpp (Step, UpdateSmoothedLoss, Test, ApplyUpdate), in its versions, and netdef's own."""


@dataclass(slots=True)
class History:
    """One run, in curves by iteration.

    Attributes:
        name: what its legend says.
        loss, rate: the displayed training loss, and the learning rate.
        test_losses, scores: what tests gave, by output; ``accuracy``, with two test nets ``accuracy #1``.
    """

    name: str
    loss: Curve = field(default_factory=dict)
    rate: Curve = field(default_factory=dict)
    test_losses: dict[str, Curve] = field(default_factory=dict)
    scores: dict[str, Curve] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not (self.loss or self.test_losses or self.scores)


def read_histories(paths: list[str]) -> list[History]:
    """The histories of several runs, under names that tell them apart.

    Each path is a metrics file, a log, a folder that holds one of them, or the solver file of the run.

    Raises:
        NetdefError: every path that cannot be read (ND0010 and its kin), or that tells of no run (ND0033).
    """
    found: list[Diagnostic] = []
    histories = []
    for path, name in zip(paths, _names(paths), strict=True):
        try:
            histories += read_runs(path, name)
        except NetdefError as fault:
            found += fault.diagnostics
    if found:
        raise NetdefError(found)
    return histories


def read_runs(path: PathLike, name: str = "") -> list[History]:
    """The histories that a path stands for: of one run, but for metrics that several runs in a folder share."""
    file, own = _file(Path(path))
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as fault:
        help = "a run writes metrics.jsonl beside its snapshots"
        raise NetdefError([error("ND0010", f"no such file: {file}", help=help)]) from fault
    name = name or _name(Path(path))
    histories = _read_metrics(text, name, own) if text.lstrip().startswith("{") else [_read_log(text, History(name))]
    found = [history for history in histories if not history.empty]
    if not found:
        help = "a run is a metrics.jsonl, a log of `netdef train` or `caffe train`, a folder with one, or a solver"
        raise NetdefError([error("ND0033", f"{file} tells of no iteration and of no test", help=help)])
    return found


def _file(path: Path) -> tuple[Path, str | None]:
    """The file that a path of the command line means, and the run in it, None for all that it tells of."""
    if path.suffix == ".prototxt":
        config, _ = read_config(os.fspath(path))
        beside = metrics_path(config)
        if beside is None:
            raise NetdefError([error("ND0033", f"{path} keeps no metrics (`metrics` is empty)", help="plot its log")])
        return beside, run_name(config)
    if not path.is_dir():
        return path, None
    candidates = [path / "metrics.jsonl", *sorted(path.glob("*.jsonl")), *sorted(path.glob("*.log"))]
    return next((file for file in candidates if file.is_file()), candidates[0]), None


def _names(paths: list[str]) -> list[str]:
    """Short names; the path itself where a short one would be another's, too."""
    short = [_name(Path(path)) for path in paths]
    return [path if short.count(name) > 1 else name for path, name in zip(paths, short, strict=True)]


def _name(path: Path) -> str:
    """The file's name; that of its folder where all runs' files are called alike."""
    common = path.name in ("metrics.jsonl", "train.log", "solver.prototxt", "log.txt")
    place = path.resolve()
    return place.parent.name if common else place.name.removesuffix(place.suffix if place.is_file() else "")


def _read_metrics(text: str, name: str, own: str | None) -> list[History]:
    """The runs in a metrics file, or `own` alone; lines without a mark are of whichever run is asked for."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for entry in _entries(text):
        run = str(entry.get("run", own or ""))
        if own in (None, run):
            runs.setdefault(run, []).append(entry)
    return [_history(entries, f"{name} {run}" if len(runs) > 1 else name) for run, entries in runs.items()]


def _history(entries: list[dict[str, Any]], name: str) -> History:
    history = History(name)
    trained = {name for entry in entries if entry.get("kind") == "train" for name in entry.get("outputs") or {}}
    for entry in entries:
        iteration = entry["iteration"]
        if entry.get("kind") == "train":
            _note(history.loss, iteration, entry.get("loss"))
            _note(history.rate, iteration, entry.get("lr"))
        elif entry.get("kind") == "test":
            _note_test(history, entry, lambda name: _is_loss(name, trained))
    return history


def _entries(text: str) -> Iterator[dict[str, Any]]:
    """The whole lines of a file that a run may be writing to at this moment."""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("iteration"), int):
            yield entry


def _is_loss(name: str, trained: set[str]) -> bool:
    """Whether an output is a loss: so is what the training net puts out too, unless its name says what it is."""
    word = name.lower()
    return "loss" in word or (name in trained and not any(part in word for part in ("acc", "top", "prec", "recall")))


def _note_test(history: History, entry: dict[str, Any], is_loss: Callable[[str], bool]) -> None:
    suffix = f" #{entry['net']}" if entry.get("net") else ""
    total = entry.get("loss")
    if total is not None:
        _note_output(history.test_losses, f"loss{suffix}", entry["iteration"], total)
    for name, value in (entry.get("outputs") or {}).items():
        if not is_loss(name):
            _note_output(history.scores, name + suffix, entry["iteration"], value)
        elif total is None:
            _note_output(history.test_losses, name + suffix, entry["iteration"], value)


def _note(curve: Curve, iteration: int, value: Any) -> None:
    if isinstance(value, int | float) and isfinite(value):
        curve[iteration] = float(value)


def _note_output(curves: dict[str, Curve], name: str, iteration: int, value: Any) -> None:
    """Note what is one number; of outputs with many values there is no curve."""
    point: Curve = {}
    _note(point, iteration, value)
    if point:
        curves.setdefault(name, {}).update(point)


def _read_log(text: str, history: History) -> History:
    test: dict[str, Any] = {"iteration": 0, "net": 0, "outputs": {}, "loss": None}
    losses: set[str] = set()
    for kind, groups in _matches(text):
        if kind in ("train", "testing") and test["outputs"]:
            _note_test(history, test, losses.__contains__)
            test = {**test, "outputs": {}, "loss": None}
        if kind == "train":
            _note(history.loss, int(groups[0]), _number(groups[1]))
            _note(history.rate, int(groups[0]), _number(groups[2]))
        elif kind == "rate":
            _note(history.rate, int(groups[0]), _number(groups[1]))
        elif kind == "testing":
            test |= {"iteration": int(groups[0]), "net": int(groups[1])}
        elif kind == "total":
            test["loss"] = _number(groups[0])
        elif groups[0] not in test["outputs"]:  # of an output with many values the first
            test["outputs"][groups[0]] = _number(groups[1])
            losses |= {groups[0]} if groups[2] else set()
    if test["outputs"]:
        _note_test(history, test, losses.__contains__)
    return history


def _matches(text: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for line in text.splitlines():
        for kind, pattern in _LINES:
            if found := pattern.search(line):
                yield kind, found.groups()
                break


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
