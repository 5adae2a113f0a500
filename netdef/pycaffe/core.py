"""What does a net consist of when its layers run one by one: blobs, parameters, steps?"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from netdef.diagnostics import NetdefError, error
from netdef.files import PathLike
from netdef.ir import Graph, Node
from netdef.nn.python_layer import PythonLayer
from netdef.pycaffe import mode
from netdef.pycaffe.blob import Blob, ParamBlob
from netdef.pycaffe.needs import needs
from netdef.pycaffe.plan import Plan
from netdef.pycaffe.sources import Sources
from netdef.pycaffe.step import Step
from netdef.targets.torch import build_module, load_arrays, net_layers, shared_blobs, tensors
from netdef.weights import LayerWeights, match, read_weights, write_caffemodel, write_hdf5

Callback = Callable[[int], object]
WHEN = ("before_forward", "after_forward", "before_backward", "after_backward")


@dataclass(frozen=True, slots=True)
class LayerView:
    """A layer of a net: its Caffe type and its parameters."""

    name: str
    type: str
    blobs: list[ParamBlob]


class UserLayerView(LayerView):
    """A Python layer of a net; all other attributes and methods are those of the user's object.

    So a script hands a data layer what it is to serve: ``net.layers[0].set_roidb(roidb)``.
    """

    __slots__ = ("_user",)

    def __init__(self, name: str, type: str, blobs: list[ParamBlob], user: object) -> None:
        super().__init__(name, type, blobs)
        object.__setattr__(self, "_user", user)

    def __getattr__(self, name: str) -> Any:
        """An attribute of the user's object."""
        return getattr(object.__getattribute__(self, "_user"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the user's object."""
        setattr(self._user, name, value)


class Core:
    """A net's memory and its layers in order.

    Attributes:
        graph: netdef's view of the net.
        module: the torch module that holds the parameters.
        blobs: activations by name, in the order in which they are made; in-place layers share one.
        held: parameters by netdef's id, in the order of Caffe's learnable parameters.
        layers: all layers in order.
        sources: what the data layers read.
    """

    def set_up(self, plan: Plan, seed: int, rng: np.random.Generator | None = None) -> None:
        """Make everything; `seed` is that of the net's data, `rng` fills the parameters."""
        self.graph: Graph = plan.graph
        self.device = mode.device()
        self.module = build_module(self.graph, rng=rng or mode.rng(), device=self.device, live=True)
        self.sources = Sources(self.graph, plan.folder, seed)
        by_id = self._make_blobs()
        self.blobs: OrderedDict[str, Blob] = OrderedDict(
            (blob.name, by_id[blob.id]) for blob in self.graph.blobs.values() if blob.name in self.graph.blobs
        )
        self.held = self._make_params(plan.force_backward)
        self._steps = self._make_steps(plan.force_backward, by_id)
        self.layers = [_view(step) for step in self._steps]
        self._callbacks: dict[str, list[Callback]] = {when: [] for when in WHEN}
        self.reshape()

    def reshape(self) -> None:
        """Fit all layers to the shapes that the inputs have now; forward does so by itself."""
        for step in self._steps:
            if not step.layer.is_source:
                step.reshape()

    def forward_layers(self, first: int = 0, last: int = -1) -> float:
        """Compute layers by their indices, `last` included; returns what they add to the loss."""
        loss = 0.0
        for index in range(first, last % len(self._steps) + 1):
            self._call_back("before_forward", index)
            step = self._steps[index]
            if step.layer.is_source:
                self.sources.fill(step.node, step.tops)
            else:
                loss += step.forward()
            self._call_back("after_forward", index)
        return loss

    def backward_layers(self, first: int = -1, last: int = 0) -> None:
        """Compute gradients of layers by their indices, from `first` back to `last`, included."""
        written: set[str] = set()
        for index in range(first % len(self._steps), last - 1, -1):
            self._call_back("before_backward", index)
            if self._steps[index].need.runs:
                self._steps[index].backward(written)
            self._call_back("after_backward", index)

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to 0."""
        for param in self.held.values():
            param.clear()

    def flush(self) -> None:
        """Bring the module's parameters up to date with what numpy wrote."""
        for param in self.held.values():
            param.flush()

    def refresh(self) -> None:
        """Note that torch changed the parameters."""
        for param in self.held.values():
            param.changed()

    def copy_from(self, path: PathLike) -> None:
        """Copy weights from a file of any format, by layer name.

        Raises:
            NetdefError: it cannot be read, or a layer's blobs do not fit.
        """
        self.flush()
        report = match(net_layers(self.graph), read_weights(path), shared=shared_blobs(self.graph))
        mode.warn(report.warnings)
        load_arrays(self.module, self.graph, report.arrays)
        self.refresh()

    def load_hdf5(self, path: PathLike) -> None:
        """Copy weights from Caffe's HDF5."""
        self.copy_from(path)

    def save(self, path: PathLike) -> None:
        """Write a .caffemodel, whatever the path's ending."""
        layers = (LayerWeights(view.name, view.type, [blob.data for blob in view.blobs]) for view in self.layers)
        write_caffemodel(path, self.graph.name, tuple(layers))

    def save_hdf5(self, path: PathLike, write_diff: bool = False) -> None:
        """Write Caffe's HDF5, where a shared parameter stands with its owner alone; with diffs if asked for."""
        shared = shared_blobs(self.graph)
        write_hdf5(path, [_stored(view, shared, write_diff) for view in self.layers])

    def share_with(self, other: Core) -> None:
        """Compute with the parameters of the layers of the same names in another net from now on."""
        theirs = {view.name: view.blobs for view in other.layers}
        for view in self.layers:
            for blob, owner in zip(view.blobs, theirs.get(view.name, ()), strict=False):
                if blob.shape != owner.shape:
                    message = f'"{view.name}" is {blob.shape} in this net and {owner.shape} in the other'
                    raise NetdefError([error("ND1003", message, help="nets that share need layers of the same shapes")])
                blob.share(owner)

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

    def _make_params(self, force_backward: bool) -> dict[str, ParamBlob]:
        """Parameters over the module's tensors; `force_backward` wants gradients of frozen ones too."""
        made = {}
        for key, tensor in tensors(self.module, self.graph).items():
            spec = self.graph.params[key].spec
            if force_backward:
                tensor.requires_grad_(not spec.statistic)
            made[key] = ParamBlob(tensor, spec.shape.known_sizes())
        return made

    def _make_steps(self, force_backward: bool, blobs: dict[str, Blob]) -> list[Step]:
        need = needs(self.graph, force_backward)
        names: dict[str, str] = self.module.meta["modules"]
        children = dict(self.module.named_children())

        def step(node: Node) -> Step:
            params = [self.held[param.id] for param in node.params]
            return Step(node, self.graph.phase, children.get(names[node.id]), blobs, params, need[node.id])

        return [step(node) for node in self.graph.nodes]

    def _call_back(self, when: str, index: int) -> None:
        for call in self._callbacks[when]:
            call(index)


def _view(step: Step) -> LayerView:
    name, type, blobs = step.node.name, step.node.type, step.params
    if type != "Python":
        return LayerView(name, type, blobs)
    user = step.module.layer if isinstance(step.module, PythonLayer) else step.module
    return UserLayerView(name, type, blobs, user)


def _stored(view: LayerView, shared: set[tuple[str, int]], with_diff: bool) -> LayerWeights:
    kept = [(index, blob) for index, blob in enumerate(view.blobs) if (view.name, index) not in shared]
    diffs = [blob.diff for _, blob in kept] if with_diff else []
    return LayerWeights(view.name, view.type, [b.data for _, b in kept], diffs, tuple(str(i) for i, _ in kept))
