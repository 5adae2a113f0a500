"""How does TensorBoard see a run? An observer that writes its event files."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netdef.diagnostics import Diagnostic, NetdefError, error, warning
from netdef.ir import Blob, Graph, Node
from netdef.solver.events import Displayed, Event, Output, Tested, Warned
from netdef.solver.loop import Solver
from netdef.targets.torch import tensors
from netdef.targets.torch.parts import own

SETS = 30
"""About how many sets of histograms a run gets, however long it is: they take far longer than a number."""
_SPACE = 1
"""Pixels between two filters."""
_WIDTH = 40
"""Pixels that a filter is wide, more or less: each weight becomes a square of them."""


class TensorBoard:
    """An observer that writes numbers at each display and test, and pictures of the weights now and then.

    Scalars: ``train/loss``, ``train/lr``, ``train/images_per_s``, each output as ``train/<blob>`` and
    ``test/<blob>`` (``test1/<blob>`` for the second test net). Histograms of every parameter and its gradient
    (before clipping) and the first convolution's filters as an image, at every `every`-th display (spread over the run
    by default) and at its end, when no gradient is left; of parameters that processes hold in parts those of this
    process. The graph once. Where its files cannot be written any more, the run goes on without them.
    """

    def __init__(self, solver: Solver, folder: Path, *, every: int | None = None) -> None:
        """Open an event file in `folder`, which is made if need be.

        Raises:
            NetdefError: ND0031, the package tensorboard is missing; ND0803, `folder` cannot be written to.
        """
        _probe(folder)
        config = solver.config
        self.solver, self.every = solver, every or max(1, config.max_iter // max(config.display, 1) // SETS)
        self._displays = 0
        self._writer: Any = _writer(folder, solver.iter)  # torch leaves it untyped
        self._records = _Records.of(self._writer)
        write_graph(self._writer, solver.run.train.graph)

    def __call__(self, event: Event) -> None:
        """Note what there is to see."""
        if self._records.failure is None:
            self._note(event)
            self._look_back(event.iteration)

    def _look_back(self, iteration: int) -> None:
        """Say so, once, if something could not be written."""
        if (failure := self._records.failure) is not None:
            for observer in self.solver.observers:
                observer(Warned(iteration, _cut_off(failure)))

    def _note(self, event: Event) -> None:
        match event:
            case Displayed():
                self._display(event)
            case Tested():
                kind = f"test{event.net or ''}"
                self._scalars(kind, event.outputs, event.iteration)
                if event.loss is not None:
                    self._writer.add_scalar(f"{kind}/total_loss", event.loss, event.iteration)
                self._writer.flush()

    def close(self) -> None:
        """Write what is pending, close the file."""
        self._writer.close()

    def _display(self, event: Displayed) -> None:
        numbers = {"loss": event.loss, "lr": event.rate, "images_per_s": event.images_per_s}
        for name, value in numbers.items():
            if value is not None:
                self._writer.add_scalar(f"train/{name}", value, event.iteration)
        self._scalars("train", tuple(o for o in event.outputs if o.name != "loss"), event.iteration)
        if self._displays % self.every == 0 or event.rate is None:
            self._weights(event.iteration)
        self._displays += 1

    def _scalars(self, kind: str, outputs: tuple[Output, ...], iteration: int) -> None:
        for output in outputs:
            if output.values.size == 1:
                self._writer.add_scalar(f"{kind}/{output.name}", output.mean, iteration)

    def _weights(self, iteration: int) -> None:
        train = self.solver.run.train
        for id, tensor in tensors(train.module, train.graph).items():
            gradient = None if tensor.grad is None else own(tensor.grad)
            for kind, values in (("weights", own(tensor).detach()), ("gradients", gradient)):
                if values is not None and values.numel() and bool(torch.isfinite(values).all()):
                    self._writer.add_histogram(f"{kind}/{id.replace('.', '/')}", values.float().cpu(), iteration)
        if (found := first_filters(train.graph)) is not None:
            filters = tensors(train.module, train.graph)[found.params[0].id]
            image = filter_image(own(filters).detach().float().cpu())
            self._writer.add_image(f"filters/{found.id}", image, iteration)
        self._writer.flush()


class _Records:
    """TensorBoard's writer of records, which works in a thread of its own; it stops for good when one fails.

    A reader can make nothing of what comes after a broken record, and the thread would end with a traceback.
    """

    def __init__(self, records: Any) -> None:
        self._records = records
        self.failure: OSError | None = None

    @classmethod
    def of(cls, writer: Any) -> _Records:
        """Stand between a SummaryWriter's thread and its file."""
        behind = writer._get_file_writer().event_writer._async_writer
        found = cls(behind._writer)
        behind._writer = behind._worker._record_writer = found
        return found

    def write(self, data: bytes) -> None:
        """Write a record, unless one has failed before."""
        self._try(lambda: self._records.write(data))

    def flush(self) -> None:
        """Pass on what is held back."""
        self._try(self._records.flush)

    def close(self) -> None:
        """Close the file."""
        self._try(self._records.close)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            if self.failure is None:
                act()
        except OSError as failure:
            self.failure = failure


def _cut_off(failure: OSError) -> Diagnostic:
    help = ("training goes on", "free some space; a resumed run with --tensorboard goes on with them")
    message = f"TensorBoard's files end here: {failure.strerror or failure}"
    return warning("ND0803", message, help=help)


def _probe(folder: Path) -> None:
    """See that the folder can be written to: later on TensorBoard's thread alone would hear of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(1))
    except OSError as fault:
        message = f"TensorBoard's files cannot be written to {folder}: {fault.strerror}"
        raise NetdefError([error("ND0803", message, help="name another folder")]) from fault


def first_filters(graph: Graph) -> Node | None:
    """The first 2-d convolution that looks at an image of one or three channels; None where there is none."""
    for node in graph.nodes:
        shape = node.params[0].spec.shape if node.type == "Convolution" else None
        if shape is not None and shape.rank == 4 and shape[1] in (1, 3) and node.bottoms[0].shape[1] == shape[1]:
            return node
    return None


def filter_image(filters: Tensor) -> Tensor:
    """Filters (N, 1 or 3, h, w) as one image (3, H, W) of numbers from 0 to 1, in a grid that is nearly square.

    One scale for all, 0 being grey, so that strong filters look strong. Three channels are Caffe's blue, green, red.
    """
    num, _, height, width = filters.shape
    span = max(float(filters.abs().max()), 1e-12)
    shown = (0.5 + 0.5 * filters.flip(1) / span).expand(num, 3, height, width)
    zoom = max(_WIDTH // width, 1)
    shown = shown.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    shown = torch.nn.functional.pad(shown, (0, _SPACE, 0, _SPACE), value=1.0)
    columns = math.ceil(math.sqrt(num))
    rows = math.ceil(num / columns)
    empty = torch.ones(rows * columns - num, *shown.shape[1:])
    grid = torch.cat([shown, empty]).view(rows, columns, *shown.shape[1:])
    return grid.permute(2, 0, 3, 1, 4).reshape(3, rows * shown.shape[2], columns * shown.shape[3])


def write_graph(writer: Any, graph: Graph) -> None:
    """Write the net as TensorBoard's graph: a node a layer, with the layers' own names, types and shapes."""
    from tensorboard.compat.proto.config_pb2 import RunMetadata  # type: ignore[import-untyped]
    from tensorboard.compat.proto.graph_pb2 import GraphDef  # type: ignore[import-untyped]

    found = GraphDef()
    for node in graph.nodes:
        entry = found.node.add(name=node.id, op=node.type)
        entry.input.extend(_output(graph, blob) for blob in node.bottoms)
        for blob in node.tops:
            shape = entry.attr["_output_shapes"].list.shape.add(unknown_rank=not blob.shape.ranked)
            for size in blob.shape.sizes if blob.shape.ranked else ():
                shape.dim.add(size=-1 if size is None else size)
    writer._get_file_writer().add_graph((found, RunMetadata().step_stats))


def _output(graph: Graph, blob: Blob) -> str:
    """A blob in TensorFlow's words: the node that makes it, and which of its outputs unless it is the first."""
    producer = graph.producers[blob.id]
    place = producer.tops.index(blob)
    return f"{producer.id}:{place}" if place else producer.id


def _writer(folder: Path, iteration: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as fault:
        help = "install the extra: pip install 'netdef[viz]'"
        message = "TensorBoard's files need the package tensorboard, which is not installed"
        raise NetdefError([error("ND0031", message, help=help)]) from fault
    # Points of an earlier run from this iteration on are hidden: a resumed run has one history.
    return SummaryWriter(str(folder), purge_step=iteration or None)
