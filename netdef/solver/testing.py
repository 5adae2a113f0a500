"""What happens when a test is due: how do the nets score, and what follows from that?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from netdef.diagnostics import RunError
from netdef.solver.evaluate import Score, evaluate
from netdef.solver.events import Best, Observer, StoodStill, Tested, Testing, Warned
from netdef.solver.keeping import keep_best
from netdef.solver.pace import Pace
from netdef.solver.rescue import going_on
from netdef.solver.run import Run, agree
from netdef.solver.running import lending, reported
from netdef.solver.watched import Standing


@dataclass(frozen=True, slots=True)
class Tests:
    """The tests of a run. Every process of a team makes them at the same time.

    Attributes:
        run: whose test nets are scored.
        tell: gets the events.
        pace: does not count the time that tests take.
    """

    run: Run
    tell: Observer
    pace: Pace

    def scores(self, stop: Callable[[], bool] = lambda: False) -> list[Score]:
        """What each test net gives.

        Raises:
            Interrupted: `stop` said so before a batch.
        """
        agree(self.run)
        with self.run.random.active():
            return [self._score(number, stop) for number in range(len(self.run.tests))]

    def judge(self, scores: Sequence[Score]) -> bool:
        """Act on what the watched outputs were; whether training is over (`early_stop`)."""
        over = False
        for name, standing in self.run.standings.items():
            better = standing.judge(scores[standing.watch.net].outputs, self.run.iter)
            if name == "early_stop" and better:
                self._keep_best(standing)
            if standing.is_over:
                over |= name == "early_stop"
                self._lose_patience(name, standing)
        return over

    def _score(self, number: int, stop: Callable[[], bool]) -> Score:
        run, config, began = self.run, self.run.config, self.pace.time_s
        self.tell(Testing(run.iter, number))
        net = run.tests[number]
        average = run.average.in_place() if run.average else nullcontext()
        with average, lending(run.train, net), reported(net):
            score = evaluate(net, config.tests[number].num_batches, stop=stop)
        loss = score.loss if config.test_compute_loss else None
        self.tell(Tested(run.iter, number, score.outputs, loss, self.pace.time_s))
        self.pace.leave_out(began)
        return score

    def _lose_patience(self, name: str, standing: Standing) -> None:
        """Say so; with `plateau` lower the rate, and wait as long again."""
        rate = None
        if name == "plateau":
            self.run.current_step += 1
            standing.waited = 0
            rate = self.run.rate
        self.tell(StoodStill(self.run.iter, standing.watch.output, standing.best, standing.at, rate))

    def _keep_best(self, standing: Standing) -> None:
        """Write the weights that were tested; where that fails, training goes on."""
        try:
            path = keep_best(self.run)
        except RunError as failure:
            for diagnostic in going_on(failure):
                self.tell(Warned(self.run.iter, diagnostic))
            return
        assert standing.best is not None
        standing.kept = self.run.iter
        if path is not None:
            self.tell(Best(self.run.iter, standing.watch.output, standing.best, path))
