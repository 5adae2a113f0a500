"""What are pycaffe's solvers: Caffe's training loop over nets whose blobs can be seen and changed between the steps?"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

from netdef.diagnostics import Diagnostic, NetdefError, has_errors
from netdef.files import PathLike
from netdef.pycaffe import mode
from netdef.pycaffe.net import Net
from netdef.pycaffe.training import Loop
from netdef.schema import netdef_pb2 as pb
from netdef.schema import read_message
from netdef.solver.config import SolverConfig


class Solver:
    """A solver file at work, with the names of pycaffe. Weights, gradients and data of `net` are live.

    After `step`, a parameter's `diff` holds what the last update subtracted, as in Caffe.
    """

    type: ClassVar[str] = "SGD"

    def __init__(self, solver_file: PathLike, rule: str | None = None) -> None:
        """Make the nets of a solver file, to train with `rule`, this class's by default, whatever the file's `type` is.

        Raises:
            NetdefError: with every error in the solver and its nets.
        """
        message, config = _read(solver_file, rule or self.type)
        self.param = message
        self._loop = Loop(config, device=str(mode.device()))

    @property
    def net(self) -> Net:
        """The net in training."""
        return self._loop.live[0]

    @property
    def test_nets(self) -> list[Net]:
        """The nets for tests, which compute with the parameters of `net`."""
        return self._loop.live[1:]

    @property
    def iter(self) -> int:
        """Updates made so far."""
        return self._loop.iter

    @property
    def lr(self) -> float:
        """The learning rate of the coming update."""
        self._follow_param()
        return self._loop.lr

    def step(self, count: int) -> None:
        """Train `count` iterations, with tests, displays and snapshots where they are due.

        Raises:
            RunError: ND0801, the loss is not finite any more.
        """
        self._follow_param()
        self._loop.step(int(count))

    def solve(self, resume_file: PathLike | None = None) -> None:
        """Train to `max_iter`, from a solver state on where one is given."""
        if resume_file is not None:
            self.restore(resume_file)
        self._follow_param()
        self._loop.solve()

    def snapshot(self) -> None:
        """Write weights and solver state under the `snapshot_prefix`."""
        self._loop.snapshot()

    def restore(self, state_file: PathLike) -> None:
        """Go on from a solver state, netdef's or Caffe's, with the weights that it names."""
        self._loop.restore(state_file)

    def apply_update(self) -> None:
        """Change the weights by the diffs that are there now, which become the update; `iter` stays."""
        self._follow_param()
        self._loop.apply_update()

    def share_weights(self, net: Net) -> None:
        """Let another net compute with the weights of this solver's."""
        net.share_with(self.net)

    def add_callback(self, on_start: Callable[[], object], on_gradients: Callable[[], object]) -> None:
        """Have the first called at the start of each iteration, the second when its gradients are there."""
        self._loop.callbacks.append((on_start, on_gradients))

    def _follow_param(self) -> None:
        """Take over what a script changed in `param` meanwhile, as Caffe does: the rate, and the end."""
        self._loop.adopt(self.param.base_lr, self.param.max_iter)


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    type = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    type = "Nesterov"


class AdaGradSolver(Solver):
    """AdaGrad."""

    type = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSProp."""

    type = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta."""

    type = "AdaDelta"


class AdamSolver(Solver):
    """Adam."""

    type = "Adam"


_KINDS: dict[str, type[Solver]] = {
    kind.type: kind for kind in (SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver)
}


def get_solver(solver_file: PathLike) -> Solver:
    """The solver of the `type` that a file names; a plain Solver for a type that Caffe does not have.

    Raises:
        NetdefError: with every error in the solver and its nets.
    """
    _, config = _read(solver_file, None)
    return _KINDS.get(config.type, Solver)(solver_file, config.type)


def _read(path: PathLike, type: str | None) -> tuple[Any, SolverConfig]:
    """A solver file's message and configuration, for the rule `type` (the file's own if None)."""
    bound = read_message(path, pb.SolverParameter)
    if type is not None:
        bound.message.ClearField("solver_type")
        bound.message.type = type
    found: list[Diagnostic] = list(bound.diagnostics)
    config = SolverConfig.decode(bound.message, bound.where, found, path=os.fspath(path))
    if config is None or has_errors(found):
        raise NetdefError(found)
    return bound.message, config
