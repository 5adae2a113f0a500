"""What do Ctrl-C, SIGTERM and SIGHUP do to a run?"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from netdef.solver.loop import Solver

_STOPPING = "Stopping, with a snapshot, when this iteration is done."
_AGAIN = " Ctrl-C again stops at once."


class Signals:
    """A block in which signals ask the solver for what the options say: `stop`, `snapshot` or `none`.

    After a stop, Ctrl-C interrupts as usual. SIGTERM may come as often as it likes: a scheduler sends it to every
    process of a job, and torchrun then passes its own on.

    Attributes:
        exit_code: 143 where SIGTERM ended the run, so that whoever started it knows that it is not complete; else 0.
    """

    def __init__(self, solver: Solver, sigint: str, sigterm: str, sighup: str) -> None:
        self.exit_code = 0
        self._solver = solver
        self._effects = {signal.SIGINT: sigint, signal.SIGTERM: sigterm}
        if hasattr(signal, "SIGHUP"):  # Windows has none
            self._effects[signal.SIGHUP] = sighup
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        """Listen."""
        self._before = {number: signal.signal(number, self._handle) for number in self._effects}
        return self

    def __exit__(self, *exception: object) -> None:
        """Let signals do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        effect = self._effects[signal.Signals(number)]
        if effect == "snapshot":
            self._solver.request("snapshot")
        elif effect == "stop":
            self._stop(number)

    def _stop(self, number: int) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._solver.request("stop")
        if number == signal.SIGTERM:
            self.exit_code = 128 + number
        if self._solver.team.leads and sys.stderr.isatty():
            said = _STOPPING + (_AGAIN if number == signal.SIGINT else "")
            os.write(2, f"\n{said}\n".encode())  # a stream may be in the middle of a write of its own
