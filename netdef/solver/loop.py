"""What happens in which order when a net is trained?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, fx

from netdef.diagnostics import Diagnostic, NetdefError, RunError
from netdef.solver import device as devices
from netdef.solver import snapshot as snapshots
from netdef.solver import state
from netdef.solver.build import build
from netdef.solver.config import SolverConfig
from netdef.solver.debug import lines
from netdef.solver.divergence import GradientCheck, divergence, weights_finite
from netdef.solver.evaluate import Interrupted, Score
from netdef.solver.events import (
    Debugged,
    Displayed,
    Event,
    Observer,
    Snapshotted,
    Warned,
)
from netdef.solver.feed import advanced
from netdef.solver.keeping import keep
from netdef.solver.nets import own_weights, read_config
from netdef.solver.optimizer import CaffeOptimizer
from netdef.solver.pace import Pace
from netdef.solver.rescue import going_on, rescued
from netdef.solver.run import Run, agree, attach, load_weights, update
from netdef.solver.running import reported
from netdef.solver.scaling import NO_SCALE
from netdef.solver.team import current
from netdef.solver.testing import Tests

Request = Literal["stop", "snapshot"]
PathLike = str | os.PathLike[str]


class Solver:
    """Trains the net of a solver file as Caffe does (source: solver.cpp, Step and Solve).

    One iteration: test if it is due; sum the gradients of `iter_size` batches; display if it is due; update; take a
    snapshot if it is due. What there is to tell goes to `observers`.

    Attributes:
        config: the solver file, decoded.
        device: where it computes; `device_note` says so where that is not what the file asks for.
        run: the nets, the optimizer, and where they stand.
        observers: called with each event.
        images_per_iteration: rows of all batches of one iteration.
        stopped: whether a request to stop ended the last `step`.
        team: the processes that train together, this one and perhaps others; each calls the same methods.
    """

    def __init__(
        self,
        solver: PathLike | SolverConfig,
        *,
        weights: Sequence[PathLike] | None = None,
        device: int | str | None = None,
        observers: Sequence[Observer] = (),
        level: int | None = None,
        stages: Sequence[str] = (),
        strict: bool = False,
    ) -> None:
        """Build the nets and open their data.

        Args:
            solver: a solver file, or one that is decoded already.
            weights: files to begin from, matched by layer name; the solver's own `weights` if None.
            device: a GPU's number or a torch device; what the solver says if None.
            observers: called with each event of the run.
            level: of the training net, in the place of what the solver states (as in Caffe, not of test nets).
            stages: of the training net, beside those that the solver states.
            strict: refuse weights unless the training net and the files have the same layers.

        Raises:
            NetdefError: with every error in the solver and its nets.
        """
        self.config = solver if isinstance(solver, SolverConfig) else read_config(os.fspath(solver))[0]
        self.observers = list(observers)
        self.team = current()
        self.device, self.device_note = devices.choose(self.config, device, self.team)
        self._restore_settings = devices.set_up(self.config, self.device)
        self.run = self._build(level, tuple(stages))
        self.stopped = False
        self._requests: set[Request] = set()
        self.images_per_iteration = self.run.train.batch_size * self.config.iter_size
        self._saved: int | None = None
        asked = self.device.type == "cpu" and self.run.scale is NO_SCALE
        self._gradients = GradientCheck(self.run.train) if asked else None
        self._updating = False
        self._origin = (0, self.run.train.feed.state())
        self._pace = Pace()
        self._tests = Tests(self.run, self._tell, self._pace)
        nets = (self.run.train, *self.run.tests)
        self._warn(load_weights(nets, own_weights(self.config) if weights is None else weights, strict=strict))
        attach(self.run)

    @property
    def iter(self) -> int:
        """Updates made so far."""
        return self.run.iter

    @property
    def lr(self) -> float:
        """The learning rate of the coming update."""
        return self.run.rate

    @property
    def loss(self) -> float:
        """The mean loss of the last `average_loss` iterations."""
        return self.run.losses.mean

    @property
    def net(self) -> fx.GraphModule:
        """The training net's module."""
        return self.run.train.module

    @property
    def test_nets(self) -> list[fx.GraphModule]:
        """The test nets' modules, which compute with the training net's parameters."""
        return [test.module for test in self.run.tests]

    @property
    def optimizer(self) -> CaffeOptimizer:
        """Caffe's update rule as a torch optimizer."""
        return self.run.optimizer

    def solve(self) -> None:
        """Train to `max_iter`, with a snapshot at the end and a last display and test, as `caffe train` does."""
        if self._keeps_snapshots:
            snapshots.prepare(self.config.snapshot_prefix)
            if self.team.leads:
                snapshots.clear(self.config.snapshot_prefix)
        try:
            self.step(self.config.max_iter - self.iter)
        except NetdefError as failure:
            raise self._rescue(failure) from failure
        if (self.stopped or self.config.snapshot_after_train) and self._saved != self.iter:
            self.snapshot()
        if self.stopped:
            return
        with self.run.random.active(), reported(self.run.train):
            if self._due(self.config.display):
                self._show_last()
            if self._due(self.config.test_interval):
                self._test_due()
        if self.stopped and self._saved != self.iter:
            self.snapshot()

    def step(self, count: int) -> None:
        """Train `count` iterations, or fewer if `request("stop")` comes in between.

        Raises:
            RunError: ND0801, the loss is not finite any more.
        """
        self.stopped = False
        self._pace.start(self.iter)
        self._origin = (self.iter, self.run.train.feed.state())
        with self.run.random.active(), reported(self.run.train):
            for _ in range(count):
                if self._due(self.config.test_interval) and (self.iter or self.config.test_initialization):
                    self._test_due()
                if self.stopped:
                    break
                self._iterate()
                self._answer()
                if self.stopped:
                    break
            self._check_finite()

    def request(self, what: Request) -> None:
        """Ask for a stop or a snapshot after the iteration that is under way; a signal handler may call it.

        A stop also breaks a test off; who goes on makes it from its beginning.
        """
        self._requests.add(what)

    def test_all(self) -> list[Score]:
        """Test every test net, and tell the observers."""
        return self._tests.scores()

    def snapshot(self) -> snapshots.Place:
        """Write weights, solver state and run state under `snapshot_prefix`.

        Raises:
            RunError: ND0802, it cannot be written; ND0801, the run has diverged.
        """
        began = self._pace.time_s
        self._check_finite()
        agree(self.run)
        if not weights_finite(self.run.train):
            raise self._divergence()
        place = keep(self.run)
        self._saved = self.iter
        self._tell(Snapshotted(self.iter, place.weights, place.state))
        self._pace.leave_out(began)
        return place

    def restore(self, path: PathLike) -> None:
        """Go on from a solver state (netdef's or Caffe's), with the weights that it names.

        Raises:
            NetdefError: it is no solver state, or one of another net or another type of solver.
        """
        self._warn(state.restore(self.run, path))
        self._saved = self.iter

    def close(self) -> None:
        """Stop reading data ahead, let files go, give torch its settings back."""
        for net in (self.run.train, *self.run.tests):
            net.close()
        self._restore_settings()

    def __enter__(self) -> Solver:
        """The solver itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _build(self, level: int | None, stages: tuple[str, ...]) -> Run:
        return build(self.config, self.device, self.team, level, stages)

    @property
    def _keeps_snapshots(self) -> bool:
        return self.config.snapshot > 0 or self.config.snapshot_after_train

    def _rescue(self, failure: NetdefError) -> NetdefError:
        """The failure (of data, or of memory), after a snapshot of the last whole iteration has been taken.

        None is taken where nothing was learned, where it came in the middle of an update, or where the other processes
        of a team would have to take part.
        """
        in_vain = failure.diagnostics[0].code in ("ND0801", "ND0802")  # it diverged, or no snapshot could be written
        if in_vain or self._updating or not (self.iter and self._keeps_snapshots) or self.team.world > 1:
            return failure
        return rescued(failure, self.iter, self._snapshot_here)

    def _snapshot_here(self) -> Path:
        """The solver state of the last whole iteration, written unless it is; one that broke off is forgotten."""
        if self._saved != self.iter:
            begun, position = self._origin
            self.run.train.feed.restore(advanced(position, (self.iter - begun) * self.config.iter_size))
            return self.snapshot().state
        return snapshots.Place.of(self.config.snapshot_prefix, self.iter, self.config.snapshot_format).state

    def _iterate(self) -> None:
        run, policy = self.run, self.config.policy
        run.losses.add(run.iter, self._forward_backward())
        if run.losses.diverged is not None:
            raise self._divergence()
        run.current_step = policy.current_step(run.iter, run.current_step)
        run.optimizer.rate = policy.rate(run.iter, run.current_step)
        if self._due(self.config.display):
            self._show_debug()
            self._show(run.optimizer.rate)
        self._check_gradients()
        self._updating = True
        update(run)
        run.optimizer.zero_grad()
        run.iter += 1
        self._updating = False

    def _forward_backward(self) -> Tensor:
        """The mean loss of `iter_size` batches, their gradients summed into the parameters."""
        run, losses = self.run, []
        for left in reversed(range(self.config.iter_size)):
            with run.train.exchanging(last=not left):
                self._outputs, loss = run.train.learn(run.scale)
            losses.append(loss)
        return self.team.mean(losses[0] if len(losses) == 1 else torch.stack(losses).mean())

    def _answer(self) -> None:
        """Do what is due or was asked for after an iteration."""
        requests, self._requests = self._requests, set()
        self.stopped, snapshot = self.team.any("stop" in requests, "snapshot" in requests)
        if self._due(self.config.snapshot) or snapshot:
            try:
                self.snapshot()
            except RunError as failure:
                if failure.diagnostics[0].code != "ND0802":
                    raise
                self._warn(going_on(failure))

    def _test_due(self) -> None:
        """Test, and act on it; or stop, with everything where it was before the test."""
        back = state.bookmark(self.run)
        try:
            scores = self._tests.scores(lambda: self.team.any("stop" in self._requests)[0])
            self.stopped |= self._tests.judge(scores)
        except Exception as end:
            back()
            if not isinstance(end, Interrupted):
                raise
            self._requests.clear()
            self.stopped = True

    def _show_debug(self) -> None:
        if self.run.train.sight:
            self._tell(Debugged(self.iter, tuple(lines(self.run, self.run.train.sight))))

    def _show(self, rate: float) -> None:
        outputs = self.run.train.of_all(self._outputs)
        values = [(name, value.detach().float().cpu().numpy()) for name, value in outputs.items()]
        loss, described = self.loss, self.run.train.described(values)
        self._check_finite()
        self._tell(Displayed(self.iter, loss, rate, described, self._speed(self.iter), self._pace.time_s))

    def _show_last(self) -> None:
        """The loss after the last update takes one more batch, and has no update to show the rate of."""
        speed = self._speed(self.iter - 1)  # a display stands in the midst of an iteration, this one behind it
        with torch.no_grad():
            _, loss = self.run.train.forward()
        self.run.losses.add(self.iter, self.team.mean(loss))
        self._tell(Displayed(self.iter, self.loss, None, (), speed, self._pace.time_s))

    def _speed(self, iteration: int) -> float | None:
        """Images a second since it was last asked for, up to the middle of an iteration."""
        iterations = self._pace.per_second(iteration)
        return None if iterations is None else iterations * self.images_per_iteration

    def _due(self, interval: int) -> bool:
        return interval > 0 and self.run.iter % interval == 0

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)

    def _warn(self, found: Sequence[Diagnostic]) -> None:
        for diagnostic in found:
            self._tell(Warned(self.iter, diagnostic))

    def _check_finite(self) -> None:
        """Wait for the losses that are still on their way."""
        self.run.losses.settle()
        if self.run.losses.diverged is not None:
            raise self._divergence()

    def _divergence(self) -> RunError:
        at = self.run.losses.diverged
        what, at = ("weights are", self.iter) if at is None else ("the loss is", at)
        return divergence(self.run.train, what, at, self._saved)

    def _check_gradients(self) -> None:
        """Stop before a gradient that is not finite spoils weights.

        With FP16 the scale sees to it, and a GPU is not asked, for it would have to be waited for.
        """
        if self._gradients and not self._gradients.passes():
            raise divergence(self.run.train, "a gradient is", self.iter, self._saved)
