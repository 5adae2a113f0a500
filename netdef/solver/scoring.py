"""How is a net scored outside a training run?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from netdef.diagnostics import Diagnostic, warning
from netdef.graph import demand_layers
from netdef.ir import Graph
from netdef.schema import netdef_pb2 as pb
from netdef.schema.where import Where
from netdef.solver.config import NetChoice, SolverConfig
from netdef.solver.confusion import Confusion, CountingNet, build_counting
from netdef.solver.device import choose, set_up
from netdef.solver.evaluate import Score, evaluate
from netdef.solver.events import Output
from netdef.solver.nets import compile_choice
from netdef.solver.randomness import Randomness
from netdef.solver.run import load_weights
from netdef.solver.running import build_net, reported
from netdef.solver.style import Style, precision_on


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a scoring: the means, warnings, and which classes were taken for which if that was asked."""

    score: Score
    warnings: tuple[Diagnostic, ...]
    confusions: tuple[Confusion, ...] = ()


@dataclass(frozen=True, slots=True)
class Scoring:
    """A net to score, and the settings that it is computed with."""

    choice: NetChoice
    config: SolverConfig

    @property
    def name(self) -> str:
        """What people know the net by."""
        return self.choice.path or self.config.path or ""

    def run(
        self,
        weights: Sequence[str],
        *,
        device: int | str | None = None,
        each: Callable[[int, tuple[Output, ...]], None] | None = None,
        confusion: bool = False,
        strict: bool = False,
    ) -> Result:
        """Score the net on its own data; `each` is told the outputs of each batch, `confusion` counts classes too.

        With `strict` the net and the files must have the same layers.

        Raises:
            NetdefError: the net, its data or its weights are wrong.
        """
        graph = demand_layers(compile_choice(self.choice, self.config))
        where = choose(self.config, device)[0]
        style = Style(where, self.config.channels_last, precision_on(where, self.config.precision))
        random = Randomness(self.config.seed, where)
        build = build_counting if confusion else build_net
        with ExitStack() as afterwards:
            afterwards.callback(set_up(self.config, where))
            net = build(graph, self.choice, self.config, style, random)
            afterwards.callback(net.feed.close)
            found = load_weights([net], weights, strict=strict) if weights else _untrained(net.graph)
            with random.active(), reported(net):
                score = evaluate(net, self.choice.num_batches, each=each)
            return Result(score, found, net.confusions() if isinstance(net, CountingNet) else ())


def _untrained(graph: Graph) -> tuple[Diagnostic, ...]:
    """A warning where a net with parameters was given no weights."""
    if not graph.params:
        return ()
    message = f'no weights were given: "{graph.name}" is scored with the numbers that its fillers draw'
    return (warning("ND0613", message, help="add `--weights W`"),)


def of_net(path: str, num_batches: int, level: int = 0, stages: tuple[str, ...] = ()) -> Scoring:
    """The scoring of a net file in phase TEST, on the processor unless a GPU is asked for."""
    choice = NetChoice(path, None, Where.nowhere(), "TEST", level, stages, num_batches)
    message = pb.SolverParameter(net=path, base_lr=0, lr_policy="fixed", max_iter=0, solver_mode="CPU")
    config = SolverConfig.decode(message, Where.nowhere(), [], path=path)
    assert config is not None
    return Scoring(choice, config)
