"""Can a net learn a handful of images by heart? One that cannot has a fault that more data will not mend."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from netdef.data.reader import ONE
from netdef.diagnostics import NetdefError, RunError, error
from netdef.ir import Graph, Node
from netdef.solver.config import SolverConfig
from netdef.solver.feed import Feed
from netdef.solver.loop import Solver
from netdef.solver.policy import Policy
from netdef.solver.probing import probing
from netdef.solver.running import RunningNet
from netdef.targets.torch import build_module, share

MOST_ITERATIONS = 1000
"""Enough for any handful at a sound rate."""
_BETWEEN_LOOKS = 10
_HARDLY, _WORSE = 0.9, 1.5
"""A loss that ends between these parts of where it began has hardly moved; above them it has risen."""
_STRONG_DECAY = 0.01
"""A weight decay from which on it may keep a net from learning by heart."""
_CLASSIFIERS = ("SoftmaxWithLoss", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss")

Tell = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True)
class Overfitted:
    """A net that has learned `num_images` by heart after `iterations`; its loss was `first_loss`, and is `loss`."""

    num_images: int
    iterations: int
    first_loss: float
    loss: float


def overfit(
    config: SolverConfig,
    num_images: int,
    *,
    iterations: int = MOST_ITERATIONS,
    weights: Sequence[str | os.PathLike[str]] | None = None,
    strict: bool = False,
    device: int | str | None = None,
    level: int | None = None,
    stages: Sequence[str] = (),
    tell: Tell = lambda iteration, loss, accuracy: None,
) -> Overfitted:
    """Train on the first `num_images` training images alone, at the solver's `base_lr`, until all are known.

    The images are taken once, as the data layer transforms them; where a batch has room for more they repeat. An image
    is known when its largest score is its label's, Dropout being off. `tell` gets iteration, loss and share known.
    Nothing is written. With `strict` net and weights must have the same layers.

    Raises:
        NetdefError: ND0730, the net has no loss that compares scores with labels, or its data are not rows.
        RunError: ND0830, some images are still unknown after `iterations`; ND0801, the loss diverged.
    """
    policy = Policy("fixed", config.policy.base_lr, max_iter=iterations)
    quiet = replace(probing(config, policy), display=0)
    with Solver(quiet, weights=weights, strict=strict, device=device, level=level, stages=stages) as solver:
        handful = Handful.take(solver, num_images)
        exam = _Exam(solver, handful)
        solver.step(1)
        first = solver.loss
        while True:
            solver.step(min(_BETWEEN_LOOKS - solver.iter % _BETWEEN_LOOKS, iterations - solver.iter))
            known = exam.known()
            tell(solver.iter, solver.loss, known.float().mean().item())
            if bool(known.all()):
                return Overfitted(num_images, solver.iter, first, solver.loss)
            if solver.iter >= iterations:
                raise _failed(solver, handful, exam, known, first)


class Handful(Feed):
    """The same few rows again and again, in the place of a net's sources."""

    def __init__(self, rows: Mapping[str, Tensor], num_rows: int, batch: int) -> None:
        self.rows, self.num_rows, self.batch = rows, num_rows, batch
        self.sources, self.turns = {}, ONE
        self._start = 0

    @classmethod
    def take(cls, solver: Solver, num_rows: int) -> Handful:
        """Take the first rows from a solver's training net, which gets nothing else from now on.

        Raises:
            NetdefError: ND0730, the inputs of the net have different numbers of rows, images of several sizes, or are
                made by a Python layer; there are not so many images.
        """
        train = solver.run.train
        made = next((node for node in train.graph.nodes if node.type == "Python" and not node.bottoms), None)
        if made is not None:
            raise _unfit(f'"{made.name}" makes its data in Python, new ones each time')
        there = _rows_there(train)
        if there is not None and there < num_rows:
            raise _unfit(f"there are {there:,}, and {num_rows:,} were asked for")
        batches = [train.feed.next()]
        sizes = {tensor.shape[0] if tensor.ndim else 0 for tensor in batches[0].values()}
        batch = sizes.pop()
        if sizes or not batch:
            raise _unfit(f'the inputs of "{train.graph.name}" are not rows of one batch')
        while batch * len(batches) < num_rows:
            batches.append(train.feed.next())
        train.feed.close()
        if len({tuple(tensor.shape for tensor in batch.values()) for batch in batches}) > 1:
            raise _unfit("its images are of several sizes")
        rows = {name: torch.cat([b[name] for b in batches])[:num_rows] for name in batches[0]}
        train.feed = cls(rows, num_rows, batch)
        return train.feed

    def next(self) -> dict[str, Tensor]:
        """The next rows in a circle, a batch full."""
        places, batch = self.at(self._start)
        self._start = (int(places[-1]) + 1) % self.num_rows
        return batch

    def is_unbroken(self, flags: Tensor) -> bool:
        """See Feed: not known."""
        return False

    def at(self, start: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The numbers of the rows from `start` on, and the rows."""
        device = next(iter(self.rows.values())).device
        here, there = ((start + torch.arange(self.batch, device=at)) % self.num_rows for at in ("cpu", device))
        return here, {name: rows[there] for name, rows in self.rows.items()}


def _rows_there(net: RunningNet) -> int | None:
    """How many rows a net's sources hold, the shortest's; None where they make them without end."""
    named = {name: source.epoch_size for name, source in net.feed.sources.items()}
    return min(
        (size for name, size in named.items() if size and net.graph.layers[name].type != "DummyData"), default=None
    )


class _Exam:
    """Asks the net, with the parameters that train, for the label of each row."""

    def __init__(self, solver: Solver, handful: Handful) -> None:
        self.handful, self.style = handful, solver.run.train.style
        graph = solver.run.train.graph
        self.loss = _classifier(graph)
        self.scores, self.labels = self.loss.bottoms[0].id, self.loss.bottoms[1].id
        self.module = build_module(graph, outputs=[self.scores, self.labels], device=solver.device)
        share(solver.net, graph, self.module, graph)
        for child in self.module.modules():
            if isinstance(child, nn.Dropout):
                child.eval()

    @torch.no_grad()
    def known(self) -> Tensor:
        """For each row whether all of its labels are found."""
        known = torch.zeros(self.handful.num_rows, dtype=torch.bool)
        for places, scores, labels in self._answers():
            right = (scores.argmax(1) == labels) | self._ignored(labels)
            known[places] = right.flatten(1).all(1).cpu() if right.ndim > 1 else right.cpu()
        return known

    @torch.no_grad()
    def alike(self) -> bool:
        """Whether the scores are the same whatever the image is."""
        scores = torch.cat([scores for _, scores, _ in self._answers()])
        return bool((scores - scores[:1]).abs().max() <= 1e-6 * scores.abs().max())

    def _answers(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Row numbers, scores with the classes on axis 1, and labels without it, over all rows."""
        axis = cast(Any, self.loss.layer).axis if self.loss.type in ("SoftmaxWithLoss", "InfogainLoss") else 1
        for start in range(0, self.handful.num_rows, self.handful.batch):
            places, batch = self.handful.at(start)
            with self.style.autocast():
                found = self.module(**batch)
            scores = found[self.scores].float().movedim(axis, 1)
            yield places, scores, found[self.labels].long().reshape(scores.shape[:1] + scores.shape[2:])

    def _ignored(self, labels: Tensor) -> Tensor:
        counting = getattr(self.loss.layer, "counting", None)
        ignore = counting.ignore_label if counting else None
        return labels == ignore if ignore is not None else torch.zeros_like(labels, dtype=torch.bool)


def _classifier(graph: Graph) -> Node:
    """The loss that counts most among those that compare scores with labels; of equal ones the last."""
    losses = [node for node in graph.nodes if node.type in _CLASSIFIERS and node.loss_weights[0]]
    if not losses:
        raise _unfit(f'"{graph.name}" has no loss that compares scores with labels ({", ".join(_CLASSIFIERS)})')
    return max(reversed(losses), key=lambda node: node.loss_weights[0])


def _unfit(why: str) -> NetdefError:
    return NetdefError([error("ND0730", f"this net cannot be tried on a handful of images: {why}")])


def _failed(solver: Solver, handful: Handful, exam: _Exam, known: Tensor, first: float) -> RunError:
    right = int(known.sum())
    message = (
        f"after {solver.iter} iterations the net knows {right} of {len(known)} images by heart; "
        f"the loss went from {first:.4g} to {solver.loss:.4g}"
    )
    causes = tuple(_causes(solver, handful, exam, first))
    help = causes or ("the loss still falls: give it more --iterations, or a higher `base_lr` (netdef lr-find)",)
    return RunError([error("ND0830", message, help=help)])


def _causes(solver: Solver, handful: Handful, exam: _Exam, first: float) -> Iterator[str]:
    """What speaks for itself, the surest first."""
    config, graph = solver.config, solver.run.train.graph
    yield from _twins(handful, exam)
    if exam.alike():
        yield "the scores are the same for every image: is the input constant, or does a ReLU never fire?"
    if solver.loss > _WORSE * first:
        yield f"the loss rises: `base_lr: {config.policy.base_lr:g}` is too high (netdef lr-find suggests one)"
    elif solver.loss > _HARDLY * first:
        yield f"the loss hardly moves: is `base_lr: {config.policy.base_lr:g}` too low? (netdef lr-find suggests one)"
    frozen = [p.id for p in graph.params.values() if not p.lr_mult and not p.spec.statistic]
    if frozen:
        yield f"`lr_mult: 0` freezes {len(frozen)} of {len(graph.params)} parameters ({', '.join(frozen[:3])})"
    if config.weight_decay >= _STRONG_DECAY:
        yield f"`weight_decay: {config.weight_decay:g}` is strong; a handful is learned by heart without any"
    dropped = [node.name for node in graph.nodes if node.type == "Dropout"]
    if dropped:
        yield f"Dropout ({', '.join(dropped[:3])}) makes learning by heart slower: try without it, or more --iterations"


def _twins(handful: Handful, exam: _Exam) -> Iterator[str]:
    """Equal images with different labels, which no net can know."""
    names: dict[str, str] = exam.module.meta["inputs"]
    labels = handful.rows.get(names.get(exam.labels, ""))
    if labels is None:
        return
    seen: dict[bytes, int] = {}
    for place in range(handful.num_rows):
        rows = [rows[place] for name, rows in handful.rows.items() if name != names[exam.labels]]
        key = b"".join(row.cpu().contiguous().numpy().tobytes() for row in rows)
        twin = seen.setdefault(key, place)
        if not torch.equal(labels[twin], labels[place]):
            a, b = labels[twin].flatten()[0].item(), labels[place].flatten()[0].item()
            yield f"images {twin} and {place} are equal, but their labels are {a:g} and {b:g}"
            return
