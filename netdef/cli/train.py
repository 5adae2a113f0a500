"""`netdef train`: train the net of a solver file, from the start, from weights or from a snapshot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import click

from netdef.cli.gpus import gpu_number, num_processes, own_gpu
from netdef.cli.launch import in_team, launch
from netdef.cli.options import split, strict_option
from netdef.cli.progress import warn, watching
from netdef.cli.report import show
from netdef.cli.signals import Signals
from netdef.cli.unheard import unheard
from netdef.cli.watch import learn_by_heart, noticing
from netdef.diagnostics import NetdefError, RunError, error, warning
from netdef.solver.config import SolverConfig
from netdef.solver.loop import Solver
from netdef.solver.metrics import Metrics, metrics_path, run_name
from netdef.solver.nets import read_config
from netdef.solver.snapshot import DAMAGED, Place, best_path, existing
from netdef.solver.watched import Standing

_EFFECTS = click.Choice(["stop", "snapshot", "none"])
_F = TypeVar("_F", bound=Callable[..., Any])


def _effect(signal: str, default: str, help: str) -> Callable[[_F], _F]:
    """An option for what a signal does, in Caffe's spelling."""
    name = f"{signal}_effect"
    return click.option(f"--{name}", f"-{name}", type=_EFFECTS, default=default, show_default=True, help=help)


@click.command("train")
@click.argument("file", metavar="SOLVER", required=False, type=click.Path(readable=False))
@click.option("--solver", "-solver", "named", type=click.Path(readable=False), help="SOLVER, in Caffe's spelling.")
@click.option("--weights", "-weights", multiple=True, help="Weights to begin from: a file, or several with commas.")
@strict_option
@click.option("--snapshot", "-snapshot", type=click.Path(readable=False), help="A .solverstate to go on from.")
@click.option("--resume", type=click.Choice(["auto"]), help="Go on from the newest snapshot, if there is one.")
@click.option("--gpu", "-gpu", help="The number of a GPU, several with commas, or `all`. Default: the solver's.")
@click.option("--processes", type=click.IntRange(1), metavar="N", help="Train in N processes. Default: one a GPU.")
@click.option("--iterations", "-iterations", type=click.IntRange(0), help="Train to this iteration, not `max_iter`.")
@click.option("--overfit", type=click.IntRange(1), metavar="N", help="Try to learn N training images by heart instead.")
@click.option("--tensorboard", type=click.Path(file_okay=False), metavar="DIR", help="Write TensorBoard's files there.")
@click.option("--level", "-level", type=int, help="Level of the training net.")
@click.option("--stage", "-stage", "stages", multiple=True, help="A stage of the training net; may be repeated.")
@click.option("--phase", "-phase", hidden=True, help="Read for Caffe's sake: training is always TRAIN.")
@_effect("sigint", "stop", "What Ctrl-C does, after the iteration.")
@_effect("sigterm", "stop", "What a scheduler's SIGTERM does.")
@_effect("sighup", "snapshot", "What the end of the terminal does.")
def command(
    file: str | None,
    named: str | None,
    weights: tuple[str, ...],
    strict: bool,
    snapshot: str | None,
    resume: str | None,
    gpu: str | None,
    processes: int | None,
    iterations: int | None,
    overfit: int | None,
    tensorboard: str | None,
    level: int | None,
    stages: tuple[str, ...],
    phase: str | None,
    sigint_effect: str,
    sigterm_effect: str,
    sighup_effect: str,
) -> None:
    """Train the net of the solver file SOLVER.

    Ctrl-C ends the iteration (or breaks off the test) under way, takes a snapshot and stops; a second one stops at
    once. SIGTERM, which schedulers send before they end a job, takes a snapshot and stops too, however often it comes:
    the exit code is then 143, and --resume auto goes on. A terminal that is closed (SIGHUP) leaves a snapshot, and the
    run goes on without it. With several GPUs, or under torchrun, several processes train together; the solver's batch
    is shared out among them.
    """
    path = _one(file, named)
    if weights and snapshot:
        raise click.UsageError("--weights begins a run, --snapshot goes on with one: give one of them")
    if snapshot and resume:
        raise click.UsageError("--snapshot names what to go on from, --resume auto looks for it: give one of them")
    config, warnings = read_config(path)
    if iterations is not None:
        config = replace(config, max_iter=iterations)
    start, extra = split(weights) or None, split(stages)
    if overfit is not None:
        show(warnings)
        device = gpu_number(gpu)
        learn_by_heart(
            config, overfit, iterations, weights=start, strict=strict, device=device, level=level, stages=extra
        )
        return
    if (count := num_processes(gpu, processes)) > 1:
        raise click.exceptions.Exit(launch(count, sys.argv[1:]))
    begin = _begin(config, start, snapshot, resume)
    make = partial(Solver, config, weights=begin, strict=strict, device=own_gpu(gpu), level=level, stages=extra)
    with unheard(), in_team() as team, make(observers=[warn] if team.leads else []) as solver:
        signals = Signals(solver, sigint_effect, sigterm_effect, sighup_effect)
        if not team.leads:
            _take_up(solver, snapshot, resume)
            with signals:
                solver.solve()
            _exit(solver, signals)
            return
        show(warnings)
        if solver.device_note:
            click.echo(solver.device_note)
        if (state := _take_up(solver, snapshot, resume)) is not None:
            click.echo(f"Going on at iteration {solver.iter} from {state}")
        noticed = noticing(solver, first_loss=not (start or config.weights or state), tensorboard=tensorboard)
        with watching(solver, config.max_iter), noticed, signals, _metrics(solver):
            solver.solve()
        click.echo(_conclusion(solver, path))
        _exit(solver, signals)


def _exit(solver: Solver, signals: Signals) -> None:
    """End with the exit code that tells of SIGTERM, whichever process of a run it came to."""
    if solver.stopped and signals.exit_code:
        raise click.exceptions.Exit(signals.exit_code)


def _one(file: str | None, named: str | None) -> str:
    if file is None and named is None:
        raise click.UsageError("Missing argument 'SOLVER'.")
    if file is not None and named is not None:
        raise click.UsageError("SOLVER is given twice")
    return str(file or named)


def _begin(
    config: SolverConfig, weights: list[str] | None, snapshot: str | None, resume: str | None
) -> list[str] | None:
    """The weights to begin from: none where a snapshot takes their place, for their files may be gone by then."""
    goes_on = snapshot is not None or (resume is not None and any(existing(config.snapshot_prefix)))
    return [] if goes_on else weights


def _take_up(solver: Solver, snapshot: str | None, resume: str | None) -> str | None:
    """Put back the snapshot that the options name; its solver state, None where there is none to go on from."""
    if snapshot is not None:
        solver.restore(snapshot)
    return snapshot if snapshot is not None or resume is None else _newest(solver)


def _newest(solver: Solver) -> str | None:
    """Put back the newest whole snapshot that the first process sees, in every process."""
    prefix, form, team = solver.config.snapshot_prefix, solver.config.snapshot_format, solver.team
    seen = [*existing(prefix)]
    failure: NetdefError | None = None
    for index in range(team.same(len(seen))):
        iteration, place = seen[index] if index < len(seen) else (-1, None)
        named = team.same(iteration)
        place = place if place and named == iteration else Place.of(prefix, named, form)
        try:
            solver.restore(place.state)
        except NetdefError as fault:
            if fault.diagnostics[0].code not in DAMAGED:
                raise
            failure = failure or fault
            if team.leads:
                show([warning("ND0808", f"{fault.diagnostics[0].message}: trying the snapshot before")])
        else:
            return str(place.state)
    if failure is not None:  # to begin anew would write over what may still be mended
        raise failure
    return None


def _conclusion(solver: Solver, path: str) -> str:
    if not solver.stopped:
        return "Optimization Done."
    watched = solver.run.standings.get("early_stop")
    if watched and watched.is_over:
        return f"Stopped early at iteration {solver.iter}. {_kept(solver, watched)}"
    saved = Place.of(solver.config.snapshot_prefix, solver.iter, solver.config.snapshot_format).state
    return f"Stopped at iteration {solver.iter}. To go on: netdef train {path} --snapshot {saved}"


def _kept(solver: Solver, watched: Standing) -> str:
    """Which weights an early stop has left where the best ones should be."""
    path = best_path(solver.config.snapshot_prefix, solver.config.snapshot_format)
    if watched.best is None:
        return f"{watched.watch.output} was never a number: no weights were the best."
    if watched.kept == watched.at:
        return f"The best weights, of iteration {watched.at}: {path}"
    instead = "" if watched.kept is None else f"; {path} holds those of iteration {watched.kept}"
    return f"The best weights, of iteration {watched.at}, could not be kept{instead}."


@contextmanager
def _metrics(solver: Solver) -> Iterator[None]:
    """Write metrics beside the snapshots, or where the solver says."""
    path = metrics_path(solver.config)
    if path is None:
        yield
        return
    try:
        metrics = Metrics(path, run_name(solver.config), solver.iter, lambda found: show([found]))
    except OSError as fault:
        help = "change `metrics`" if solver.config.metrics else "change `snapshot_prefix`, beside which they lie"
        message = f"metrics cannot be written to {path}: {fault.strerror}"
        raise RunError([error("ND0803", message, help=help)]) from fault
    solver.observers.append(metrics)
    with closing(metrics):
        yield
