"""How does a run show itself: a live line on a terminal, plain lines elsewhere?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from netdef.cli.report import show
from netdef.solver.events import Event, Tested, Testing, Warned
from netdef.solver.log import lines
from netdef.solver.loop import Solver

_REFRESHES_PER_S = 2.0
_BAR = 20
"""Columns of the bar where there is room for it; it gives way to the numbers, which must stay on one line."""
_NUMBERS = 72
"""Columns that the numbers take at most, but for very long ones."""


@contextmanager
def watching(solver: Solver, last: int) -> Iterator[None]:
    """Show the events of `solver` inside the block, up to iteration `last`; plain lines unless on a terminal."""
    if not sys.stdout.isatty():
        solver.observers.append(_plain)
        yield
        return
    console = Console(highlight=False)
    with _Line(solver, last, console) as line:
        solver.observers += [line.note, lambda event: _above(console, event)]
        yield


def warn(event: Event) -> None:
    """Show what a run warns of; a live line stays below it."""
    if isinstance(event, Warned):
        show([event.diagnostic])


def _plain(event: Event) -> None:
    for line in lines(event):
        click.echo(line)


def _above(console: Console, event: Event) -> None:
    """Print above the live line."""
    for line in lines(event):
        console.print(line, markup=False)


class _Line(Progress):
    """Iteration, loss, rate, images a second and remaining time, read from the solver twice a second."""

    def __init__(self, solver: Solver, last: int, console: Console) -> None:
        self.solver = solver
        self.numbers = _Numbers(solver, _Speed(solver))
        self._bar, self._terminal = BarColumn(), console
        super().__init__(
            TextColumn("iteration {task.completed}/{task.total}"),
            self._bar,
            self.numbers,
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
        )
        self.add_task("", total=last, completed=solver.iter)

    def note(self, event: Event) -> None:
        """Take notice of what the solver is doing beside training."""
        if isinstance(event, Testing | Tested):
            self.numbers.testing = event.net if isinstance(event, Testing) else None

    def get_renderables(self) -> Iterator[RenderableType]:
        """Look where the solver is, and how wide the terminal, before each refresh."""
        self._bar.bar_width = min(max(self._terminal.width - _NUMBERS, 1), _BAR)
        for task in self.tasks:
            self.update(task.id, completed=self.solver.iter)
        yield from super().get_renderables()


class _Speed:
    """Images a second, smoothed over a few refreshes."""

    def __init__(self, solver: Solver) -> None:
        self._images, self._iter, self._time, self.value = solver.images_per_iteration, solver.iter, 0.0, 0.0

    def at(self, iteration: int, time: float) -> float:
        """The speed when `iteration` is reached at `time` (seconds)."""
        if self._time and time > self._time:
            now = (iteration - self._iter) * self._images / (time - self._time)
            self.value = now if not self.value else 0.7 * self.value + 0.3 * now
        self._iter, self._time = iteration, time
        return self.value

    def pause(self) -> None:
        """Leave the time out until it is asked for again."""
        self._time = 0.0


class _Numbers(ProgressColumn):
    """Loss, rate and speed, or which net is tested, which may take longer than any iteration."""

    max_refresh = 1 / _REFRESHES_PER_S

    def __init__(self, solver: Solver, speed: _Speed) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.solver, self.speed = solver, speed
        self.testing: int | None = None

    def render(self, task: Task) -> Text:
        """The text of now; the loss is the last one that was read from the device."""
        if self.testing is not None:
            self.speed.pause()
            return Text(f"testing net #{self.testing}")
        recent = tuple(self.solver.run.losses.recent)
        loss = f"loss {sum(recent) / len(recent):.4g}  " if recent else ""
        speed = self.speed.at(self.solver.iter, task.get_time())
        return Text(f"{loss}lr {self.solver.lr:.4g}" + (f"  {speed:,.0f} images/s" if speed else ""))
