"""How do programs follow a run? One JSON object a line, a line for each display and each test."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

from netdef.diagnostics import Diagnostic, warning
from netdef.files import write_atomic
from netdef.solver.config import SolverConfig
from netdef.solver.events import Displayed, Event, Output, Tested
from netdef.solver.log import values


def metrics_path(config: SolverConfig) -> Path | None:
    """Where the solver wants its metrics: `metrics`, else beside the snapshots, if there are any."""
    if config.metrics is not None:
        return Path(config.metrics) if config.metrics else None
    beside = config.snapshot or config.snapshot_after_train
    return Path(config.snapshot_prefix).parent / "metrics.jsonl" if beside else None


def run_name(config: SolverConfig) -> str:
    """What the lines of a run are marked with: runs whose snapshots lie in one folder share its metrics."""
    return Path(config.snapshot_prefix).name


class Metrics:
    """An observer that writes ``{"run": …, "kind": "train", "iteration": …, "loss": …, "lr": …, …}`` to a file.

    Earlier lines of the same run are kept up to the iteration at which this one begins: a resumed run has one history.
    Those of others stay.
    A full disk must not end a run: the lines that are lost say nothing that the snapshots do not. `tell` gets a warning
    of the first one, if it is given.
    """

    def __init__(self, path: Path, run: str, iteration: int, tell: Callable[[Diagnostic], None] | None = None) -> None:
        self._path, self._run, self._tell = path, run, tell
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, "".join(_before(path, run, iteration)))
        self._stream = path.open("a", encoding="utf-8")

    def __call__(self, event: Event) -> None:
        """Add a line for what a program may want to plot."""
        entry = _entry(event)
        if entry is None:
            return
        try:
            self._stream.write(json.dumps({"run": self._run, **_finite(entry)}, allow_nan=False) + "\n")
            self._stream.flush()
        except OSError as fault:
            self._warn(fault)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._stream.close()

    def _warn(self, fault: OSError) -> None:
        """Say, once, that lines are missing."""
        if self._tell is not None:
            message = f"{self._path} lacks lines from here on: {fault.strerror or fault}"
            self._tell(warning("ND0803", message, help="training goes on"))
        self._tell = None


def _entry(event: Event) -> dict[str, Any] | None:
    match event:
        case Displayed():
            return {
                "kind": "train",
                "iteration": event.iteration,
                "loss": event.loss,
                "lr": event.rate,
                "images_per_s": event.images_per_s,
                "time": event.time_s,
                "outputs": _outputs(event.outputs),
            }
        case Tested():
            return {
                "kind": "test",
                "iteration": event.iteration,
                "net": event.net,
                "loss": event.loss,
                "time": event.time_s,
                "outputs": _outputs(event.outputs),
            }
    return None


def _outputs(outputs: tuple[Output, ...]) -> dict[str, Any]:
    return {output.name: values(output) for output in outputs}


def _finite(value: Any) -> Any:
    """JSON has no word for infinite and not-a-number: null stands for them."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _before(path: Path, run: str, iteration: int) -> list[str]:
    """The lines that a run which begins at that iteration does not repeat."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [line for line in lines if _stays(line, run, iteration)]


def _stays(line: str, run: str, iteration: int) -> bool:
    """Whether a line is another run's, or of an iteration before; what is no whole line does not."""
    with suppress(ValueError, KeyError, TypeError):
        entry = json.loads(line)
        return bool(entry.get("run", run) != run or entry["iteration"] < iteration)
    return False
