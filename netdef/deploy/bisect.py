"""At which layer do two back ends first disagree: torch, ONNX Runtime, onnx's evaluator, OpenCV 4?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from torch import fx

from netdef.deploy import runtime
from netdef.deploy.inputs import trial
from netdef.deploy.report import BlobError
from netdef.deploy.twin import arrays_of, run_torch, torch_twin
from netdef.deploy.verify import Step, allowed, blob_error, compare, silent, with_rounding
from netdef.diagnostics import Diagnostic, NetdefError, error, warning
from netdef.files import PathLike
from netdef.graph.deploy import deploy
from netdef.graph.prototxt import prototxt
from netdef.graph.write import Messages
from netdef.ir import Graph, Node
from netdef.targets.onnx import COMMON_OPSET, batch_of, emit, sizes, value_names
from netdef.targets.torch import layer_blobs
from netdef.weights import LayerWeights, write_weights

Array = npt.NDArray[Any]
Values = dict[str, Array]
TITLES = {"torch": "torch", "onnx": "ONNX Runtime", "reference": "onnx's evaluator", "opencv": "OpenCV"}
"""Every back end with its name for people, in the order of trust."""
DEFAULT_BACKENDS = ("torch", "onnx", "opencv")


@dataclass(frozen=True, slots=True)
class Bisection:
    """How far back ends are apart on every blob.

    Attributes:
        graph: the net in its deploy form.
        base: the back end that the others are compared with.
        errors: for each other back end the error of every blob that it names too, in the order of the graph.
        among: at the first blob where two part, how far any two are apart, as ``(one, other, relative error)``.
        warnings: about the weights, and about back ends that are missing.
    """

    graph: Graph
    base: str
    errors: Mapping[str, tuple[BlobError, ...]]
    among: tuple[tuple[str, str, float], ...]
    warnings: tuple[Diagnostic, ...]

    @property
    def first(self) -> tuple[str, BlobError] | None:
        """The first blob in the order of the graph that is further off than allowed, with the back end."""
        return _first(self.graph, self.errors)

    def verdict(self) -> Diagnostic | None:
        """The layer where two part, as an error at its place (ND0923); None where they agree."""
        if self.first is None:
            return None
        other, blob = self.first
        node = self.graph.producers[blob.name]
        message = (
            f'{TITLES[self.base]} and {TITLES[other]} part at blob "{blob.name}" of {node.type} "{node.name}": '
            f"relative error {blob.max_rel:.3g}, allowed {allowed(blob):.3g}"
        )
        apart = tuple(f"{TITLES[a]} and {TITLES[b]} differ by {far:.2g} there" for a, b, far in self.among)
        return error("ND0923", message, span=node.places.layer, help=apart if len(apart) > 1 else ())

    def as_json(self) -> dict[str, Any]:
        """Plain values: for each blob its layer, shape and the error of each back end."""
        found = [{"backend": name, **_plain(blob)} for name, blobs in self.errors.items() for blob in blobs]
        first = {"backend": self.first[0], **_plain(self.first[1])} if self.first else None
        return {"base": self.base, "backends": [*self.errors], "first": first, "blobs": found}


def bisect(
    net: Graph,
    messages: Messages,
    weights: Sequence[PathLike] = (),
    *,
    strict: bool = False,
    backends: Sequence[str] = DEFAULT_BACKENDS,
    batch: int | None = None,
    seed: int = 0,
    step: Step = silent,
) -> Bisection:
    """Run a net's deploy form in several back ends on the same random input, and compare every blob.

    Args:
        net: the graph, of phase TEST as a rule.
        messages: the messages of its layers, from which the prototxt for OpenCV is made.
        weights: weight files; random values without any.
        strict: refuse weights unless the deployed net and the files have the same layers.
        backends: keys of `TITLES`; the others are compared with the first.
        batch: rows of the input; 1, or the net's own where a layer insists on it, if None.
        seed: of the random input and of the fillers.
        step: called with a few words on each stage of the work.

    Raises:
        NetdefError: the net or its weights are wrong, or fewer than two back ends can run it (ND0920).
        RunError: a back end fails (ND0909, ND0915).
    """
    graph = deploy(net)
    rows = batch or _rows(graph)
    feed = trial(graph, sizes(graph, rows), rows, seed)
    module, found = torch_twin(graph, weights, seed, strict=strict)
    values: dict[str, Values] = {}
    warnings = [*found]
    for name in dict.fromkeys(backends):
        step(f"running {TITLES[name]}")
        try:
            values[name] = _RUN[name](graph, module, messages, feed)
        except _Absent as absent:
            warnings.append(warning("ND0920", f"{TITLES[name]} is left out: {absent}"))
    if len(values) < 2:
        raise NetdefError([*warnings, error("ND0920", "there are no two back ends to compare")])
    base, *others = values
    errors = {name: _errors(graph, module, feed, values[base], values[name]) for name in others}
    return Bisection(graph, base, errors, tuple(_among(graph, errors, values)), tuple(warnings))


class _Absent(Exception):
    """A back end is not installed, or cannot read the net."""


def _rows(graph: Graph) -> int:
    try:
        sizes(graph, 1)
    except NetdefError:
        return batch_of(graph).size or 1
    return 1


def _in_torch(graph: Graph, module: fx.GraphModule, messages: Messages, feed: Values) -> Values:
    return run_torch(module, feed)


def _in_onnx(graph: Graph, module: fx.GraphModule, messages: Messages, feed: Values) -> Values:
    return _emitted(graph, module, feed, runtime.session)


def _in_reference(graph: Graph, module: fx.GraphModule, messages: Messages, feed: Values) -> Values:
    return _emitted(graph, module, feed, runtime.reference)


def _emitted(graph: Graph, module: fx.GraphModule, feed: Values, start: Callable[..., runtime.Run]) -> Values:
    """Every blob of the net's ONNX model, by blob id."""
    batch = next(array.shape[axis] for id, array in feed.items() for axis in [batch_of(graph).axes.get(id, 0)])
    model = emit(graph, arrays_of(module, graph), opset=COMMON_OPSET, batch=batch)
    names = value_names(graph)
    inner = {id: names[id] for id in graph.blobs if id not in feed}
    with runtime.exposing(model, [*inner.values()]):
        run = start(model)
    tops = run({names[id]: array for id, array in feed.items()})
    return {id: tops[name] for id, name in inner.items()}


def _in_opencv(graph: Graph, module: fx.GraphModule, messages: Messages, feed: Values) -> Values:
    """The blobs that are their layer's only top and its last value, which is what OpenCV's names tell."""
    reader = getattr(cv2.dnn, "readNetFromCaffe", None)
    if reader is None:
        raise _Absent(f"OpenCV {cv2.__version__} has no Caffe reader; a version 4 has")
    held = (LayerWeights(each.name, each.type, each.blobs) for each in layer_blobs(module, graph))
    with tempfile.TemporaryDirectory() as folder, _quiet():
        text, weights = Path(folder) / "net.prototxt", Path(folder) / "net.caffemodel"
        text.write_text(prototxt(graph, messages))
        write_weights(weights, held, net_name=graph.name)
        try:
            return _forward(graph, reader(str(text), str(weights)), feed)
        except cv2.error as fault:
            raise _Absent(f"it cannot run the net: {' '.join(str(fault).split())[:200]}") from fault


def _forward(graph: Graph, net: Any, feed: Values) -> Values:
    net.enableFusion(False)
    for id, array in feed.items():
        net.setInput(array, graph.blobs[id].name)
    there = set(net.getLayerNames())
    asked = [node for node in graph.nodes if _tells(graph, node) and node.name in there]
    if not asked:
        raise _Absent("it names no blob of the net")
    values = net.forward([node.name for node in asked])
    return {node.tops[0].id: np.asarray(value) for node, value in zip(asked, values, strict=True)}


def _tells(graph: Graph, node: Node) -> bool:
    last = {blob.name: each.id for each in graph.nodes for blob in each.tops}
    return bool(node.bottoms) and len(node.tops) == 1 and last[node.tops[0].name] == node.id


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV reports to the terminal what it raises as well; not inside this block."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


_RUN = {"torch": _in_torch, "onnx": _in_onnx, "reference": _in_reference, "opencv": _in_opencv}


def _errors(
    graph: Graph, module: fx.GraphModule, feed: Values, expected: Values, found: Values
) -> tuple[BlobError, ...]:
    alike = {id: _as(expected[id], found[id]) for id in found if id in expected}
    by_name = {blob.name: blob for blob in compare(graph, expected, alike)}
    errors = tuple(by_name[id] for id in graph.blobs if id in by_name)
    return with_rounding(module, [feed], errors) if any(not _close(blob) for blob in errors) else errors


def _as(expected: Array, found: Array) -> Array:
    """OpenCV drops axes of 1, and keeps some that Caffe drops: only the values are compared."""
    return found.reshape(expected.shape) if found.size == expected.size else found


def _close(blob: BlobError) -> bool:
    return blob.max_rel <= allowed(blob)


def _first(graph: Graph, errors: Mapping[str, tuple[BlobError, ...]]) -> tuple[str, BlobError] | None:
    far = [(name, blob) for name, blobs in errors.items() for blob in blobs if not _close(blob)]
    order = {id: place for place, id in enumerate(graph.blobs)}
    return min(far, key=lambda found: order[found[1].name], default=None)


def _among(
    graph: Graph, errors: Mapping[str, tuple[BlobError, ...]], values: Mapping[str, Values]
) -> list[tuple[str, str, float]]:
    first = _first(graph, errors)
    if first is None:
        return []
    id = first[1].name
    pairs = combinations((name for name in values if id in values[name]), 2)
    return [(a, b, blob_error(id, "", values[a][id], _as(values[a][id], values[b][id])).max_rel) for a, b in pairs]


def _plain(blob: BlobError) -> dict[str, Any]:
    return {"blob": blob.name, "layer": blob.layer, "shape": list(blob.shape), "relative_error": blob.max_rel}
