"""Has a test output got better, and what if it has not for long?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Literal, cast

from netdef.diagnostics import Diagnostic, Span, error
from netdef.layers.block import Block
from netdef.schema.suggest import nearest
from netdef.solver.events import Output

_ROUNDING = 1e-6
"""The share of a value that may be rounding: a mean of means in single precision is not the same twice."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A test output that decides something; the meaning of each field stands in protos/netdef.proto."""

    output: str
    mode: Literal["AUTO", "MIN", "MAX"] = "AUTO"
    patience: int = 5
    min_change: float = 0.0
    net: int = 0
    span: Span | None = field(default=None, compare=False, repr=False)

    @classmethod
    def decode(cls, block: Block, name: str) -> Watch | None:
        """The Watch in the field `name` of a solver; None where there is none."""
        if not block.has(name):
            return None
        inner = block.sub(name)
        mode = cast(Literal["AUTO", "MIN", "MAX"], inner.enum("mode"))
        m = inner.message
        return cls(m.output, mode, m.patience, m.min_change, m.net, inner.place("output"))

    def missing(self, names: Sequence[str]) -> Diagnostic | None:
        """The error that the test net, whose outputs are `names`, has no such output; None where it has."""
        if self.output in names:
            return None
        near = nearest(self.output, names)
        help = f'did you mean "{near}"?' if near else "its outputs: " + ", ".join(names)
        message = f'test net {self.net} has no output "{self.output}"'
        return error("ND0716", message, span=self.span, help=help)


@dataclass(slots=True)
class Standing:
    """How a watched output stands: its best value, when that was, and the tests since. Part of a run's state.

    Attributes:
        kept: the iteration of the weights that were kept last; not `at` where the best ones could not be written.
    """

    watch: Watch
    best: float | None = None
    at: int = 0
    waited: int = 0
    kept: int | None = None

    def judge(self, outputs: Sequence[Output], iteration: int) -> bool:
        """Take in the outputs of a test; whether this one is the best so far. A value that is no number never is."""
        output = next(output for output in outputs if output.name == self.watch.output)
        better = self._is_better(output.mean, downwards=self._downwards(output))
        if better:
            self.best, self.at, self.waited = output.mean, iteration, 0
        else:
            self.waited += 1
        return better

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self.waited >= self.watch.patience

    def state(self) -> dict[str, Any]:
        """What `restore` takes."""
        return {"best": self.best, "at": self.at, "waited": self.waited, "kept": self.kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.best, self.at, self.waited = state["best"], state["at"], state["waited"]
        self.kept = state.get("kept", self.at)  # run states of before did not say

    def _downwards(self, output: Output) -> bool:
        return self.watch.mode == "MIN" or (self.watch.mode == "AUTO" and output.loss_weight != 0)

    def _is_better(self, value: float, *, downwards: bool) -> bool:
        if isnan(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if downwards else value - self.best
        return gain > self.watch.min_change + _ROUNDING * abs(self.best)
