"""What is pycaffe's Net: layers that run one by one over blobs that numpy can read and write?"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netdef.diagnostics import NetdefError, error
from netdef.ir import Graph, Node
from netdef.ir.graph import Phase
from netdef.layers import Layer
from netdef.pycaffe import mode
from netdef.pycaffe.batches import joined, split
from netdef.pycaffe.blob import Blob, ParamBlob
from netdef.pycaffe.memory import Floats
from netdef.pycaffe.needs import Need, needs
from netdef.pycaffe.plan import PathLike, Plan, plan_file
from netdef.pycaffe.sources import Sources
from netdef.pycaffe.step import Step
from netdef.targets.torch import build_module, load_arrays, net_layers, shared_blobs, tensors
from netdef.weights import LayerWeights, match, read_weights, write_caffemodel, write_hdf5

Callback = Callable[[int], object]
Outputs = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class LayerView:
    """A layer of a net: its Caffe type and its parameters."""

    name: str
    type: str
    blobs: list[ParamBlob]


class Net:
    """A net of a prototxt, in one phase, with the names of pycaffe.

    Blobs in place share one memory under their name, as in Caffe. Where a blob goes to several layers, Caffe's own
    Split layers do not appear; its `diff` is the sum of what these layers give back.

    Attributes:
        blobs: activations by name, in the order in which they are made.
        params: parameters by layer.
        layers: all layers in order.
        graph: netdef's own view of the net.
        module: the torch module that holds the parameters.
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
            NetdefError: with every error in the net or the weights; ND1002, no phase is given.
        """
        if more and isinstance(more[0], int | np.integer):
            given = dict(zip(("phase", "level", "stages", "weights"), more, strict=False))
        else:
            given = dict(zip(("weights", "phase"), more, strict=False))
        phase = given.get("phase", phase)
        stages = given.get("stages", stages)
        weights = given.get("weights", weights)
        if phase is None:
            raise NetdefError([error("ND1007", "a Net needs a phase", help="Net(file, caffe.TEST)")])
        self.set_up(plan_file(network_file, _phase(phase), given.get("level", level), stages or ()), mode.next_seed())
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def of_plan(cls, plan: Plan, seed: int, rng: np.random.Generator | None = None) -> Net:
        """A net that is compiled already."""
        net = Net.__new__(cls)
        net.set_up(plan, seed, rng)
        return net

    def set_up(self, plan: Plan, seed: int, rng: np.random.Generator | None = None) -> None:
        """Make blobs, parameters and steps."""
        self.graph: Graph = plan.graph
        self.force_backward = plan.force_backward
        self.device = mode.device()
        self.module = build_module(self.graph, rng=rng or mode.rng(), device=self.device)
        self.sources = Sources(self.graph, plan.folder, seed)
        by_id = self._make_blobs()
        self.blobs: OrderedDict[str, Blob] = OrderedDict(
            (blob.name, by_id[blob.id]) for blob in self.graph.blobs.values() if blob.name in self.graph.blobs
        )
        self._held = self._make_params()
        self._need = needs(self.graph, self.force_backward)
        self._steps = [self._make_step(node, by_id) for node in self.graph.nodes]
        self._callbacks: dict[str, list[Callback]] = {}
        self.reshape()

    # What the net consists of.

    @cached_property
    def layers(self) -> list[LayerView]:
        """All layers in order."""
        return [LayerView(step.node.name, step.node.type, step.params) for step in self._steps]

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

    @property
    def name(self) -> str:
        """The net's name."""
        return self.graph.name

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self.layers]

    @property
    def _blob_names(self) -> list[str]:
        return list(self.blobs)

    @property
    def _blobs(self) -> list[Blob]:
        return list(self.blobs.values())

    @property
    def _inputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self) -> list[int]:
        return [self._blob_names.index(name) for name in self.outputs]

    @property
    def held(self) -> list[ParamBlob]:
        """Every parameter once, in the order of Caffe's learnable parameters."""
        return list(self._held.values())

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(blob.name) for blob in self.graph.nodes[layer].tops]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(blob.name) for blob in self.graph.nodes[layer].bottoms]

    # Running it.

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **data: ArrayLike,
    ) -> Outputs:
        """Compute the layers from `start` to `end`, both included, all by default.

        Args:
            blobs: blobs to return beside the outputs (those of `end` where it is given).
            start, end: names of layers.
            data: values for all of the net's inputs, by name.

        Returns:
            Live views of the blobs' data.

        Raises:
            NetdefError: ND1008, `data` are not the net's inputs, or have another batch size.
        """
        first, last = self._range(start, end)
        wanted = [*(self.top_names[end] if end is not None else self.outputs), *(blobs or ())]
        if data:
            self._set("data", self.inputs, data)
        self.forward_layers(first, last)
        return {name: self.blobs[name].data for name in wanted}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **tops: ArrayLike,
    ) -> Outputs:
        """Compute the gradients of the layers from `start` back to `end`, both included, all by default.

        Gradients of parameters are added to their `diff`. Without `tops` it begins with the diffs that the blobs hold;
        a loss holds its loss_weight.

        Args:
            diffs: blobs to return beside the inputs (the bottoms of `end` where it is given).
            start, end: names of layers; `start` comes later in the net.
            tops: diffs for all of the net's outputs, by name.

        Returns:
            Live views of the blobs' diffs.

        Raises:
            NetdefError: ND1005, a layer was not computed forward; ND1008, `tops` are not the net's outputs.
        """
        last, first = self._range(end, start)
        wanted = [*(self.bottom_names[end] if end is not None else self.inputs), *(diffs or ())]
        if tops:
            self._set("diff", self.outputs, tops)
        self.backward_layers(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def forward_all(self, blobs: Sequence[str] | None = None, **data: NDArray[Any]) -> Outputs:
        """Run any number of rows through the net, batch by batch; returns copies, without the rows that fill the last."""
        found: list[Outputs] = []
        for batch in split(data, self._batch_size()):
            found.append({name: view.copy() for name, view in self.forward(blobs=blobs, **batch).items()})
        return joined(found, data)

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **data: NDArray[Any]
    ) -> tuple[Outputs, Outputs]:
        """Run rows forward and their diffs backward, batch by batch.

        `data` holds the values of inputs and, under the outputs' names, their diffs. Returns all outputs and all diffs.
        """
        forward, backward = [], []
        for batch in split(data, self._batch_size()):
            ins = {name: rows for name, rows in batch.items() if name in self.inputs}
            tops = {name: rows for name, rows in batch.items() if name in self.outputs}
            forward.append({name: view.copy() for name, view in self.forward(blobs=blobs, **ins).items()})
            backward.append({name: view.copy() for name, view in self.backward(diffs=diffs, **tops).items()})
        return joined(forward, data), joined(backward, data)

    def reshape(self) -> None:
        """Fit all layers to the shapes that the inputs have now; forward does so by itself."""
        for step in self._steps:
            if not step.layer.is_source:
                step.reshape()

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to 0."""
        for param in self._held.values():
            param.clear()

    def set_input_arrays(self, data: ArrayLike, labels: ArrayLike) -> None:
        """Hand images and labels to the net's MemoryData layer, which goes through them from the first on."""
        self.sources.set_arrays(data, labels)

    def before_forward(self, call: Callback) -> None:
        """Have `call(index)` called before each layer's forward."""
        self._callbacks.setdefault("before_forward", []).append(call)

    def after_forward(self, call: Callback) -> None:
        """Have `call(index)` called after each layer's forward."""
        self._callbacks.setdefault("after_forward", []).append(call)

    def before_backward(self, call: Callback) -> None:
        """Have `call(index)` called before each layer's backward."""
        self._callbacks.setdefault("before_backward", []).append(call)

    def after_backward(self, call: Callback) -> None:
        """Have `call(index)` called after each layer's backward."""
        self._callbacks.setdefault("after_backward", []).append(call)

    # Weights.

    def copy_from(self, path: PathLike) -> None:
        """Copy weights from a file of any format, by layer name.

        Raises:
            NetdefError: it cannot be read, or a layer's blobs do not fit.
        """
        report = match(net_layers(self.graph), read_weights(path), shared=shared_blobs(self.graph))
        load_arrays(self.module, self.graph, report.arrays)
        for param in self._held.values():
            param.changed()

    def load_hdf5(self, path: PathLike) -> None:
        """Copy weights from Caffe's HDF5."""
        self.copy_from(path)

    def save(self, path: PathLike) -> None:
        """Write a .caffemodel, whatever the path's ending."""
        layers = (LayerWeights(view.name, view.type, [p.data for p in view.blobs]) for view in self.layers)
        write_caffemodel(path, self.name, tuple(layers))

    def save_hdf5(self, path: PathLike, write_diff: bool = False) -> None:
        """Write Caffe's HDF5, where a shared parameter stands with its owner alone; with diffs if asked for."""
        shared = shared_blobs(self.graph)
        write_hdf5(path, [_stored(view, shared, write_diff) for view in self.layers])

    def share_with(self, other: Net) -> None:
        """Compute with the parameters of the layers of the same names in another net from now on."""
        for name, blobs in self.params.items():
            for mine, theirs in zip(blobs, other.params.get(name, ()), strict=False):
                if mine.shape != theirs.shape:
                    message = f'"{name}" is {mine.shape} in this net and {theirs.shape} in the other'
                    raise NetdefError([error("ND1003", message, help="nets that share need layers of the same shapes")])
                mine.share(theirs)

    # Inside.

    def _make_blobs(self) -> dict[str, Blob]:
        """The memory of each value of the graph; those of one name have one, but for losses without a name."""
        made: dict[str, Blob] = {}
        by_name: dict[str, Blob] = {}
        for value in self.graph.blobs.values():
            key = value.name if value.name in self.graph.blobs else value.id
            if key not in by_name:
                sizes = value.shape.known_sizes() if value.shape.known else (0,)
                by_name[key] = Blob(sizes, self.device)
            made[value.id] = by_name[key]
        return made

    def _make_params(self) -> dict[str, ParamBlob]:
        shapes = {param.id: param.spec.shape.known_sizes() for param in self.graph.params.values()}
        held = tensors(self.module, self.graph)
        if self.force_backward:
            for key, param in self.graph.params.items():
                held[key].requires_grad_(not param.spec.statistic)
        return {key: ParamBlob(tensor, shapes[key]) for key, tensor in held.items()}

    def _make_step(self, node: Node, blobs: dict[str, Blob]) -> Step:
        names = cast(dict[str, str], self.module.meta["modules"])
        children = dict(self.module.named_children())
        params = [self._held[param.id] for param in node.params]
        return Step(node, self.graph.phase, children.get(names[node.id]), blobs, params, self._need[node.id])

    def forward_layers(self, first: int = 0, last: int | None = None) -> float:
        """Compute layers by their indices, `last` included; returns what they add to the loss."""
        loss = 0.0
        last = len(self._steps) - 1 if last is None else last
        for index in range(first, last + 1):
            self._call_back("before_forward", index)
            step = self._steps[index]
            if step.layer.is_source:
                self.sources.fill(step.node, step.tops)
            else:
                loss += step.forward()
            self._call_back("after_forward", index)
        return loss

    def backward_layers(self, first: int | None = None, last: int = 0) -> None:
        """Compute gradients of layers by their indices, from `first` back to `last`, included."""
        first = len(self._steps) - 1 if first is None else first
        written: set[str] = set()
        for index in range(first, last - 1, -1):
            self._call_back("before_backward", index)
            if self._steps[index].need.runs:
                self._steps[index].backward(written)
            self._call_back("after_backward", index)

    def _call_back(self, when: str, index: int) -> None:
        for call in self._callbacks.get(when, ()):
            call(index)

    def _range(self, start: str | None, end: str | None) -> tuple[int, int]:
        first = 0 if start is None else self._index(start)
        return first, len(self._steps) - 1 if end is None else self._index(end)

    def _index(self, layer: str) -> int:
        if layer not in self._layer_names:
            raise NetdefError([error("ND1009", f'the net has no layer "{layer}"', help=_known(self._layer_names))])
        return self._layer_names.index(layer)

    def _batch_size(self) -> int:
        return self.blobs[self.inputs[0]].shape[0]

    def _set(self, what: str, names: Sequence[str], given: dict[str, Any]) -> None:
        """Copy arrays into the data of the inputs or the diffs of the outputs; all of them must be given."""
        if set(given) != set(names):
            kind = "inputs" if what == "data" else "outputs"
            message = f"given {sorted(given)}, but the net's {kind} are {sorted(names)}"
            raise NetdefError([error("ND1008", message)])
        for name, values in given.items():
            array, blob = np.asarray(values), self.blobs[name]
            if blob.shape and array.shape[:1] != blob.shape[:1]:
                message = f'"{name}" is {blob.shape}, given {array.shape}: another batch size'
                help = "forward_all takes any number of rows; blobs[name].reshape(…) changes the batch size"
                raise NetdefError([error("ND1008", message, help=help)])
            getattr(blob, what)[...] = array


def _phase(phase: int) -> Phase:
    if phase not in (mode.TRAIN, mode.TEST):
        raise NetdefError([error("ND1007", f"no such phase: {phase!r}", help="caffe.TRAIN or caffe.TEST")])
    return "TRAIN" if phase == mode.TRAIN else "TEST"


def _known(names: Sequence[str]) -> str:
    return "its layers: " + ", ".join(names[:20]) + (", …" if len(names) > 20 else "")


def _stored(view: LayerView, shared: set[tuple[str, int]], with_diff: bool) -> LayerWeights:
    kept = [(index, blob) for index, blob in enumerate(view.blobs) if (view.name, index) not in shared]
    diffs = [blob.diff for _, blob in kept] if with_diff else []
    return LayerWeights(view.name, view.type, [b.data for _, b in kept], diffs, tuple(str(i) for i, _ in kept))
