"""How fast does a run go?"""

from __future__ import annotations

from time import monotonic


class Pace:
    """Clocks a run: its whole time, and the iterations a second between two looks, without what came in between."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._since, self._first = self._began, 0

    @property
    def time_s(self) -> float:
        """Seconds since the run began."""
        return monotonic() - self._began

    def start(self, iteration: int) -> None:
        """Count from here."""
        self._since, self._first = monotonic(), iteration

    def per_second(self, iteration: int) -> float | None:
        """Iterations a second since it was last asked for; None where none was made."""
        since, first = self._since, self._first
        self.start(iteration)
        return (iteration - first) / (self._since - since) if iteration > first else None

    def leave_out(self, began_s: float) -> None:
        """Do not count the time since `began_s` (of `time_s`): a test, a snapshot."""
        self._since += self.time_s - began_s
