"""How does one layer of a net run by itself, forward and backward, between blobs that anyone may write?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from netdef.diagnostics import NetdefError, RunError, error
from netdef.ir import Node, Phase, Shape
from netdef.layers import Layer, Mismatch, Unsupported
from netdef.layers.record import Call, TorchRecorder, Value
from netdef.nn.python_layer import PythonLayer
from netdef.nn.python_watch import blamed
from netdef.pycaffe.blob import Blob, ParamBlob, Sizes
from netdef.pycaffe.needs import Need
from netdef.targets.record import with_values
from netdef.targets.torch.build import function_of


class Step:
    """A layer's place in a net.

    Forward reads the bottoms' blobs as they are now, fits the layer to their shapes where these have changed, and fills
    the tops' blobs. Backward reads the tops' diffs and fills those of the bottoms and parameters, from what the last
    forward kept; a layer in place overwrites its blob's diff as it did its data.

    Attributes:
        node: the layer in its graph.
        bottoms, tops: the blobs it reads and writes.
        params: its parameters in Caffe's order.
        need: what it computes backward.
    """

    def __init__(
        self,
        node: Node,
        phase: Phase,
        module: nn.Module | None,
        blobs: Mapping[str, Blob],
        params: Sequence[ParamBlob],
        need: Need,
    ) -> None:
        self.node, self.phase, self.module, self.need = node, phase, module, need
        self.layer = cast(Layer, node.layer)
        self.bottoms = [blobs[blob.id] for blob in node.bottoms]
        self.tops = [blobs[blob.id] for blob in node.tops]
        self.params = list(params)
        self._names: list[str] = []
        self._overwritten = [blob.id != blob.name for blob in node.bottoms]
        self._shapes: tuple[Sizes, ...] | None = None
        self._calls: list[Call] = []
        self._results: tuple[Value, ...] = ()
        self._kept: tuple[list[Tensor], list[Tensor]] | None = None

    def reshape(self) -> None:
        """Fit the layer to the shapes of its bottoms, and the tops to the layer.

        Raises:
            NetdefError: ND0304 and its like, the bottoms do not fit; ND1003, the parameters were made for others.
        """
        shapes = tuple(blob.shape for blob in self.bottoms)
        if shapes == self._shapes:
            return
        tops = self._fit(shapes)
        self._shapes = shapes
        for index, (blob, shape) in enumerate(zip(self.tops, tops, strict=True)):
            if shape.known and shape.known_sizes() != blob.shape:
                blob.reshape(*shape.known_sizes())
            if self.node.loss_weights[index]:
                blob.fill_gradient(torch.tensor(self.node.loss_weights[index]).expand(blob.shape))

    def forward(self) -> float:
        """Compute the tops; returns what they add to the loss.

        Raises:
            NetdefError: the bottoms' shapes do not fit; RunError: ND1017, torch cannot compute it with these values.
        """
        self.reshape()
        learns = self.need.runs and torch.is_grad_enabled()
        with torch.set_grad_enabled(learns):
            leaves = [self._leaf(index, learns) for index in range(len(self.bottoms))]
            values = self._computed(leaves)
        if isinstance(self.module, PythonLayer):  # which may write into its bottoms
            for blob in self.bottoms:
                blob.changed()
        for blob, value in zip(self.tops, values, strict=True):
            blob.fill(value.detach())
        for param in self.params:
            if not param.learns:
                param.changed()
        self._kept = (leaves, values) if learns else None
        return self._loss(values)

    def backward(self, written: set[str]) -> None:
        """Compute the diffs of bottoms and parameters; `written` are the blobs that have got a part of theirs.

        Raises:
            NetdefError: ND1005, there was no forward before.
        """
        leaves, values = self._last_forward()
        diffs = [self._top_diff(index, written) for index in range(len(self.tops))]
        pairs = [(value, diff) for value, diff in zip(values, diffs, strict=True) if value.requires_grad]
        learning = [param for param in self.params if param.learns]
        wanted = [leaf for leaf in leaves if leaf.requires_grad] + [param.tensor for param in learning]
        with self._blaming():
            grads = _gradients(pairs, wanted)
        flowing = [index for index, leaf in enumerate(leaves) if leaf.requires_grad]
        for index, grad in zip(flowing, grads, strict=False):
            key = self.node.bottoms[index].id
            self.bottoms[index].fill_gradient(grad, add=key in written)
            written.add(key)
        for param, grad in zip(learning, grads[len(flowing) :], strict=True):
            param.accumulate(grad)

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        """Tell of what the gradients of a user's own module raise."""
        try:
            yield
        except Exception as fault:
            known = blamed(self.module, fault) if self.module else None
            if known is None:
                raise
            raise known from fault

    def _last_forward(self) -> tuple[list[Tensor], list[Tensor]]:
        """The bottoms and tops that forward kept."""
        shapes = [blob.shape for blob in self.tops]
        if self._kept is None or [tuple(value.shape) for value in self._kept[1]] != shapes:
            what = "backward before any forward" if self._kept is None else "its blobs were reshaped after forward"
            help = "call forward() of the same layers first"
            raise NetdefError([error("ND1005", f'"{self.node.name}": {what}', help=help)])
        return self._kept

    def _fit(self, shapes: tuple[Sizes, ...]) -> tuple[Shape, ...]:
        """The tops' shapes for new bottoms; an object of a user's class, which lives on, says them itself."""
        if isinstance(self.module, PythonLayer) and self._shapes is not None:
            return tuple(map(Shape, self.module.reshaped(*(blob.value() for blob in self.bottoms))))
        given = tuple(Shape(sizes) for sizes in shapes)
        tops = self._infer(given)
        self._record(given)
        return tops

    def _infer(self, given: tuple[Shape, ...]) -> tuple[Shape, ...]:
        try:
            tops = self.layer.infer(given)
        except Mismatch as mismatch:
            message = f'{self.node.type} "{self.node.name}": {mismatch}'
            raise NetdefError([error(mismatch.code, message, span=self.node.places.layer)]) from mismatch
        for spec, param in zip(self.layer.params(given), self.params, strict=True):
            if spec.shape.known_sizes() != param.shape:
                message = f'"{self.node.name}": its {spec.name} is {Shape(param.shape)}, for bottoms of'
                message += f" {' and '.join(map(str, given))} it would have to be {spec.shape}"
                help = "a Convolution's bottom may change its height and width, an InnerProduct's may not"
                raise NetdefError([error("ND1003", message, span=self.node.places.layer, help=help)])
        return tops

    def _record(self, given: tuple[Shape, ...]) -> None:
        """Take down what the layer does with bottoms of these shapes."""
        names = iter(range(1 << 30))
        specs = self.layer.params(given)
        self._names = [spec.name for spec in specs]
        g = TorchRecorder(self.node.id, self.phase, specs, lambda _: f"v{next(names)}")
        try:
            self._results = self.layer.torch(g, tuple(Value(f"b{i}", shape) for i, shape in enumerate(given)))
        except Unsupported as refusal:
            found = error(refusal.code, str(refusal), span=self.node.places.type, help=refusal.help)
            raise NetdefError([found]) from refusal
        self._calls = g.calls

    def _leaf(self, index: int, learns: bool) -> Tensor:
        """A bottom's values; a copy where a later layer in place would overwrite what is kept for backward."""
        value = self.bottoms[index].value()
        if learns and self._overwritten[index]:
            value = value.clone()
        return value.requires_grad_(learns and self.need.bottoms[index])

    def _computed(self, leaves: list[Tensor]) -> list[Tensor]:
        try:
            return self._run(leaves)
        except (RuntimeError, IndexError, ValueError) as fault:
            reason = (str(fault).splitlines() or [type(fault).__name__])[0]
            message = f'{self.node.type} "{self.node.name}" cannot be computed: {reason}'
            help = "look at the values and shapes of its bottoms: a label beyond the number of classes, for example"
            raise RunError([error("ND1017", message, span=self.node.places.layer, help=help)]) from fault

    def _run(self, leaves: list[Tensor]) -> list[Tensor]:
        values: dict[str, Any] = {f"b{i}": leaf for i, leaf in enumerate(leaves)}
        for call in self._calls:
            values[call.result.name] = self._call(call, values)
        return [values[result.name] for result in self._results]

    def _call(self, call: Call, values: dict[str, Any]) -> Any:
        if call.kind == "param":
            return self._param(call.target)
        if call.kind == "module":
            for param in self.params:
                param.flush()
            assert self.module is not None
            return self.module(*with_values(call.inputs, values))
        return function_of(call)(*with_values(call.args, values), **with_values(dict(call.kwargs), values))

    def _param(self, name: str) -> Tensor:
        return self.params[self._names.index(name)].tensor

    def _loss(self, values: list[Tensor]) -> float:
        weighted = [
            weight * float(value.detach().sum())
            for weight, value in zip(self.node.loss_weights, values, strict=True)
            if weight
        ]
        return sum(weighted)

    def _top_diff(self, index: int, written: set[str]) -> Tensor:
        """The diff of a top; a loss that a later layer reads as well has its weight added."""
        weight = self.node.loss_weights[index]
        if weight and self.node.tops[index].id in written:
            self.tops[index].gradient().add_(weight)
        return self.tops[index].gradient()


def _gradients(pairs: list[tuple[Tensor, Tensor]], wanted: list[Tensor]) -> list[Tensor]:
    """The gradients of `wanted`; 0 where nothing depends on them."""
    if not pairs:
        return [torch.zeros_like(tensor) for tensor in wanted]
    if not wanted:
        return []
    values, diffs = [value for value, _ in pairs], [diff.reshape(value.shape) for value, diff in pairs]
    found: Any  # None where nothing depends on a tensor, which the stubs do not know
    found = torch.autograd.grad(values, wanted, diffs, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if grad is None else grad for t, grad in zip(wanted, found, strict=True)]
