"""What may `netdef train` do beside training: learn a handful by heart, write TensorBoard's files?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import click

from netdef.solver.config import SolverConfig
from netdef.solver.events import Event
from netdef.solver.first_loss import FirstLoss
from netdef.solver.loop import Solver
from netdef.solver.overfit import MOST_ITERATIONS, overfit


def learn_by_heart(
    config: SolverConfig,
    num_images: int,
    iterations: int | None,
    *,
    weights: Sequence[str] | None,
    strict: bool,
    device: int | None,
    level: int | None,
    stages: Sequence[str],
) -> None:
    """Try to overfit on so many images, telling how it goes; a failure is a RunError."""

    def tell(iteration: int, loss: float, known: float) -> None:
        click.echo(f"Iteration {iteration}, loss = {loss:.6g}, {known * num_images:.0f} of {num_images} known")

    result = overfit(
        config,
        num_images,
        iterations=iterations or MOST_ITERATIONS,
        weights=weights,
        strict=strict,
        device=device,
        level=level,
        stages=stages,
        tell=tell,
    )
    click.echo(f"All {num_images} images are known by heart after {result.iterations} iterations: the net can learn.")


@contextmanager
def noticing(solver: Solver, *, first_loss: bool, tensorboard: str | None) -> Iterator[None]:
    """Let a run be looked at inside the block: is its first loss what chance gives, and what does TensorBoard see?

    `first_loss` is for runs that begin from the fillers; `tensorboard` is the folder for its files, None for none.
    Of several processes the leading one alone looks.
    """
    if not solver.team.leads:
        yield
        return
    if first_loss:
        solver.observers.append(FirstLoss(solver.run.train.graph, partial(_tell, solver)))
    if tensorboard is None:
        yield
        return
    from netdef.solver.tensorboard import TensorBoard

    board = TensorBoard(solver, Path(tensorboard))
    solver.observers.append(board)
    with closing(board):
        yield


def _tell(solver: Solver, event: Event) -> None:
    for observer in solver.observers:
        observer(event)
