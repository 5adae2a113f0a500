"""What is pycaffe's Net: names for a net's layers and blobs, and forward and backward between them?"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netdef.diagnostics import NetdefError, error
from netdef.files import PathLike
from netdef.ir import Phase
from netdef.pycaffe import mode
from netdef.pycaffe.batches import Arrays, joined, split
from netdef.pycaffe.blob import Blob, ParamBlob
from netdef.pycaffe.bygone import of_net
from netdef.pycaffe.core import Callback, Core, LayerView
from netdef.pycaffe.memory import Floats
from netdef.pycaffe.plan import Plan, plan_file
from netdef.schema.suggest import nearest

Outputs = dict[str, Floats]


class Net(Core):
    """A net of a prototxt, in one phase, with the names of pycaffe.

    Blobs in place share one memory under their name, as in Caffe. Where a blob goes to several layers, Caffe's own
    Split layers do not appear; its `diff` is the sum of what these layers give back.
    """

    def __init__(
        self,
        network_file: PathLike,
        *more: Any,
        phase: int | None = None,
        weights: PathLike | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
    ) -> None:
        """Make a net, with weights from a file where one is given.

        Pycaffe's two orders are understood: (file, phase, level, stages, weights), and the old (file, weights, phase).

        Raises:
            NetdefError: with every error in the net or the weights; ND1007, no phase is given.
        """
        order = ("phase", "level", "stages", "weights") if _leads(more) else ("weights", "phase")
        given = {
            "phase": phase,
            "weights": weights,
            "level": level,
            "stages": stages,
            **dict(zip(order, more, strict=False)),
        }
        plan = plan_file(network_file, _phase(given["phase"]), given["level"], given["stages"] or ())
        self.set_up(plan, mode.next_seed())
        if given["weights"] is not None:
            self.copy_from(given["weights"])

    @classmethod
    def of_plan(cls, plan: Plan, seed: int, rng: np.random.Generator) -> Self:
        """A net that is compiled already."""
        net = cls.__new__(cls)
        net.set_up(plan, seed, rng)
        return net

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse what pycaffe's Net of 2014 had, with what to use instead."""
        of_net(self, name)

    @property
    def name(self) -> str:
        """The net's name."""
        return self.graph.name

    @cached_property
    def layer_dict(self) -> OrderedDict[str, LayerView]:
        """Layers by name."""
        return OrderedDict((layer.name, layer) for layer in self.layers)

    @cached_property
    def params(self) -> OrderedDict[str, list[ParamBlob]]:
        """Parameters in Caffe's order, by layer; layers without any are left out."""
        return OrderedDict((layer.name, layer.blobs) for layer in self.layers if layer.blobs)

    @cached_property
    def inputs(self) -> list[str]:
        """The blobs of Input layers, which the caller fills."""
        return [blob.name for node in self.graph.nodes if node.type == "Input" for blob in node.tops]

    @cached_property
    def outputs(self) -> list[str]:
        """The blobs that no layer reads, in the order of their names."""
        return [blob.name for blob in self.graph.outputs]

    @cached_property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """The blobs that each layer writes."""
        return OrderedDict((node.name, [blob.name for blob in node.tops]) for node in self.graph.nodes)

    @cached_property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """The blobs that each layer reads."""
        return OrderedDict((node.name, [blob.name for blob in node.bottoms]) for node in self.graph.nodes)

    @cached_property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """What each blob counts in the loss."""
        weights = {blob.name: weight for blob, weight in self.graph.losses()}
        return OrderedDict((name, weights.get(name, 0.0)) for name in self.blobs)

    @cached_property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self.layers]

    @cached_property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _inputs(self) -> list[int]:
        return self._ids(self.inputs)

    @property
    def _outputs(self) -> list[int]:
        return self._ids(self.outputs)

    def _top_ids(self, layer: int) -> list[int]:
        return self._ids([blob.name for blob in self.graph.nodes[layer].tops])

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._ids([blob.name for blob in self.graph.nodes[layer].bottoms])

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **data: ArrayLike
    ) -> Outputs:
        """Compute the layers from `start` to `end`, both included, all by default.

        Args:
            blobs: blobs to return beside the outputs (those of `end` where it is given).
            start: the first layer's name.
            end: the last layer's name.
            data: values for all of the net's inputs, by name.

        Returns:
            Live views of the blobs' data.

        Raises:
            NetdefError: ND1008, `data` are not the net's inputs, or have another batch size.
        """
        return self._run_forward(blobs, start, end, data)

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **tops: ArrayLike
    ) -> Outputs:
        """Compute the gradients of the layers from `start` back to `end`, both included, all by default.

        Gradients of parameters are added to their `diff`. Without `tops` it begins with the diffs that the blobs hold;
        a loss holds its loss_weight.

        Args:
            diffs: blobs to return beside the inputs (the bottoms of `end` where it is given).
            start: the name of the layer to begin with, late in the net.
            end: the name of the layer to end with, before it.
            tops: diffs for all of the net's outputs, by name.

        Returns:
            Live views of the blobs' diffs.

        Raises:
            NetdefError: ND1005, a layer was not computed forward; ND1008, `tops` are not the net's outputs.
        """
        return self._run_backward(diffs, start, end, tops)

    def forward_all(self, blobs: Sequence[str] | None = None, **data: ArrayLike) -> Outputs:
        """Run any number of rows through the net, batch by batch; returns copies, a row for each."""
        return self.run_rows(data, blobs)

    def run_rows(self, data: Mapping[str, ArrayLike], blobs: Sequence[str] | None = None) -> Outputs:
        """What `forward_all` does, with the inputs as a mapping."""
        batches = split(data, self._batch_size())
        return joined([_copied(self._run_forward(blobs, None, None, batch)) for batch in batches], data)

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **data: ArrayLike
    ) -> tuple[Outputs, Outputs]:
        """Run rows forward and their diffs backward, batch by batch.

        `data` holds the values of inputs and, under the outputs' names, their diffs. Returns all outputs and all diffs.
        """
        forward, backward = [], []
        for batch in split(data, self._batch_size()):
            ins = {name: rows for name, rows in batch.items() if name in self.inputs}
            tops = {name: rows for name, rows in batch.items() if name not in self.inputs}
            forward.append(_copied(self._run_forward(blobs, None, None, ins)))
            backward.append(_copied(self._run_backward(diffs, None, None, tops)))
        return joined(forward, data), joined(backward, data)

    def set_input_arrays(self, data: ArrayLike, labels: ArrayLike) -> None:
        """Hand images and labels to the net's MemoryData layer, which goes through them from the first on."""
        self.sources.set_arrays(data, labels)

    def before_forward(self, call: Callback) -> None:
        """Have `call(index)` called before each layer's forward."""
        self._callbacks["before_forward"].append(call)

    def after_forward(self, call: Callback) -> None:
        """Have `call(index)` called after each layer's forward."""
        self._callbacks["after_forward"].append(call)

    def before_backward(self, call: Callback) -> None:
        """Have `call(index)` called before each layer's backward."""
        self._callbacks["before_backward"].append(call)

    def after_backward(self, call: Callback) -> None:
        """Have `call(index)` called after each layer's backward."""
        self._callbacks["after_backward"].append(call)

    def _run_forward(
        self, blobs: Sequence[str] | None, start: str | None, end: str | None, data: Mapping[str, ArrayLike]
    ) -> Outputs:
        first, last = self._index(start, 0), self._index(end, -1)
        wanted = [*(self.outputs if end is None else self.top_names[end]), *(blobs or ())]
        self._check(wanted)
        if data:
            self._fit(self.inputs, data, "inputs")
            for name, values in data.items():
                _assign(name, self.blobs[name].data, values)
        self.forward_layers(first, last)
        return {name: self.blobs[name].data for name in wanted}

    def _run_backward(
        self, diffs: Sequence[str] | None, start: str | None, end: str | None, tops: Mapping[str, ArrayLike]
    ) -> Outputs:
        first, last = self._index(start, -1), self._index(end, 0)
        wanted = [*(self.inputs if end is None else self.bottom_names[end]), *(diffs or ())]
        self._check(wanted)
        if tops:
            self._fit(self.outputs, tops, "outputs")
            for name, values in tops.items():
                _assign(name, self.blobs[name].diff, values)
        self.backward_layers(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def _forward(self, first: int, last: int) -> float:
        return self.forward_layers(first, last)

    def _backward(self, first: int, last: int) -> None:
        self.backward_layers(first, last)

    def _ids(self, names: Sequence[str]) -> list[int]:
        return [self._blob_names.index(name) for name in names]

    def _index(self, layer: str | None, default: int) -> int:
        if layer is None:
            return default
        if layer not in self._layer_names:
            raise _unknown("layer", layer, self._layer_names)
        return self._layer_names.index(layer)

    def _check(self, wanted: Sequence[str]) -> None:
        for name in wanted:
            if name not in self.blobs:
                raise _unknown("blob", name, self._blob_names)

    def _batch_size(self) -> int:
        if not self.inputs:
            message = "the net has no Input to give rows to: its data layers bring them"
            raise NetdefError([error("ND1008", message, help="call forward() once for each batch")])
        return self.blobs[self.inputs[0]].shape[0]

    def _fit(self, names: Sequence[str], given: Mapping[str, ArrayLike], kind: str) -> None:
        """Arrays are given for all of these blobs, as many rows as each has."""
        if set(given) != set(names):
            message = f"given {', '.join(sorted(given))}, but the net's {kind} are {', '.join(sorted(names)) or 'none'}"
            raise NetdefError([error("ND1008", message)])
        for name, values in given.items():
            rows, shape = np.shape(values)[:1], self.blobs[name].shape
            if shape and rows != shape[:1]:
                message = f'"{name}" has the shape {shape}, given {np.shape(values)}: another batch size'
                help = "forward_all takes any number of rows; blobs[name].reshape(…) changes the batch size"
                raise NetdefError([error("ND1008", message, help=help)])


def _leads(more: tuple[Any, ...]) -> bool:
    """Whether the first argument after the file is a phase."""
    return bool(more) and isinstance(more[0], int | np.integer)


def _phase(phase: Any) -> Phase:
    if phase not in (mode.TRAIN, mode.TEST):
        found = "a Net needs a phase" if phase is None else f"no such phase: {phase!r}"
        raise NetdefError([error("ND1007", found, help="Net(file, caffe.TEST), or caffe.TRAIN")])
    return "TRAIN" if phase == mode.TRAIN else "TEST"


def _assign(name: str, memory: Floats, values: ArrayLike) -> None:
    """Write values over a blob's memory."""
    try:
        memory[...] = values
    except (TypeError, ValueError) as fault:
        message = f'"{name}" has the shape {memory.shape} and cannot take {np.shape(values)}'
        help = "blobs[name].reshape(…) gives it other sizes"
        raise NetdefError([error("ND1008", message, help=help)]) from fault


def _unknown(kind: str, name: str, known: Sequence[str]) -> NetdefError:
    near = nearest(name, known)
    help = f'did you mean "{near}"?' if near else f"it has {', '.join(known[:20])}{', …' if len(known) > 20 else ''}"
    return NetdefError([error("ND1009", f'the net has no {kind} "{name}"', help=help)])


def _copied(views: Mapping[str, NDArray[Any]]) -> Arrays:
    return {name: view.copy() for name, view in views.items()}
