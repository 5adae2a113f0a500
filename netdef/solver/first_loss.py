"""Is the loss at the start what chance would give? If not, something is wrong before training begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log

from netdef.diagnostics import Diagnostic, warning
from netdef.ir import Dim, Graph, Node
from netdef.layers.loss import SoftmaxWithLoss
from netdef.solver.events import Displayed, Event, Output, Warned

_ROOM = 0.5
_LEAST_ROOM = 0.7
"""A first loss may be off by so many times what chance gives, and by so much at least (ln 2 is 0.69)."""


class FirstLoss:
    """An observer that warns when a SoftmaxWithLoss begins far from what guessing costs, ln(number of classes).

    Right only for a net that begins from its fillers: do not add it to a run that begins from weights or a snapshot.
    `tell` is handed the warnings; it is the place where a run's other events go.
    """

    def __init__(self, graph: Graph, tell: Callable[[Event], None]) -> None:
        self._expected = dict(_expected(graph))
        self._tell = tell
        self._waiting = True

    def __call__(self, event: Event) -> None:
        """Judge the first display, if it is that of iteration 0."""
        if not (self._waiting and isinstance(event, Displayed)):
            return
        self._waiting = False
        for output in event.outputs if event.iteration == 0 else ():
            if found := self._judge(output):
                self._tell(Warned(event.iteration, found))

    def _judge(self, output: Output) -> Diagnostic | None:
        node, expected = self._expected.get(output.name, (None, 0.0))
        if node is None or abs(output.mean - expected) <= max(_ROOM * expected, _LEAST_ROOM):
            return None
        classes = node.bottoms[0].shape[_layer(node).axis]
        begins = f'the loss "{output.name}" begins at {output.mean:.4g}'
        message = f"{begins}; guessing among {classes} classes costs {expected:.4g}"
        return warning("ND0831", message, span=node.places.layer, help=_help(output.mean > expected))


def _expected(graph: Graph) -> Iterator[tuple[str, tuple[Node, float]]]:
    """For the top of each SoftmaxWithLoss, what it would be if every class had the same probability."""
    for node in graph.nodes:
        if isinstance(node.layer, SoftmaxWithLoss):
            classes, terms = node.bottoms[0].shape[node.layer.axis], _terms(node)
            if classes is not None and classes > 1 and terms is not None:
                yield node.tops[0].id, (node, log(classes) * terms)


def _terms(node: Node) -> Dim:
    """How many labels' losses add up in the top: what is left of their number when the normaliser has divided."""
    labels = node.bottoms[1].shape
    normalization = _layer(node).counting.normalization
    if normalization == "BATCH_SIZE":
        return labels.count(1)
    return labels.count() if normalization == "NONE" else 1


def _layer(node: Node) -> SoftmaxWithLoss:
    assert isinstance(node.layer, SoftmaxWithLoss)
    return node.layer


def _help(above: bool) -> tuple[str, ...]:
    if above:
        return (
            "are the data scaled (`transform_param { scale: 0.00390625 }`) and the mean subtracted?",
            "are the last layer's weights drawn too wide, or its `weight_filler` missing its fan-in (`xavier`)?",
        )
    return ("does the label get into the data, or are nearly all labels the same?",)
