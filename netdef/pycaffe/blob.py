"""What is a pycaffe Blob: values and gradients of one array of a net, live and writable."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from netdef.diagnostics import NetdefError, error
from netdef.nn.four_axes import FourAxes
from netdef.pycaffe.memory import Floats, Memory

Sizes = tuple[int, ...]


class Blob(FourAxes):
    """An activation of a net. `data` and `diff` are views: writing into them is what the next layer reads.

    Source: Caffe's blob.cpp. As there, a blob that shrinks keeps its memory, so that views stay valid until it grows.
    """

    def __init__(self, shape: Sizes, device: torch.device) -> None:
        self._device = device
        self._shape: Sizes = shape
        self._data = Memory.zeros(prod(shape), device)
        self._diff: Memory | None = None

    @property
    def data(self) -> Floats:
        """The values, in the blob's shape."""
        return self._data.array()[: self.count].reshape(self._shape)

    @property
    def diff(self) -> Floats:
        """The gradients, in the blob's shape."""
        return self._diff_memory().array()[: self.count].reshape(self._shape)

    @property
    def shape(self) -> Sizes:
        """The sizes of all axes."""
        return self._shape

    def reshape(self, *shape: int) -> None:
        """Give the blob other sizes. Values keep their places in memory as far as there is room; new memory is 0."""
        self._shape = _sizes(shape)
        if self.count > self._data.count:
            self._data = Memory.zeros(self.count, self._device)
        if self._diff is not None and self.count > self._diff.count:
            self._diff = None

    def value(self) -> Tensor:
        """The values for torch, in the blob's shape and with a version counter of their own."""
        return self._data.shaped(self._shape)

    def gradient(self) -> Tensor:
        """The gradients for torch."""
        return self._diff_memory().shaped(self._shape)

    def fill(self, value: Tensor) -> None:
        """Take over what a layer computed, with its shape."""
        if tuple(value.shape) != self._shape:
            self.reshape(*value.shape)
        self.value().copy_(value)
        self._data.changed()

    def changed(self) -> None:
        """Note that torch wrote into the values."""
        self._data.changed()

    def fill_gradient(self, value: Tensor, *, add: bool = False) -> None:
        """Take over a gradient, or add it to what is there."""
        held = self.gradient()
        if add:
            held.add_(value.reshape(held.shape))
        else:
            held.copy_(value.reshape(held.shape))
        self._diff_memory().changed()

    def _diff_memory(self) -> Memory:
        """Made when it is first asked for: a net that only predicts has no gradients."""
        if self._diff is None:
            self._diff = Memory.zeros(self.count, self._device)
        return self._diff

    def _legacy(self, axis: int) -> int:
        if len(self._shape) > 4:
            message = f"num, channels, height and width are of blobs of at most 4 axes; this one has {len(self._shape)}"
            raise NetdefError([error("ND1004", message, help="use shape")])
        return super()._legacy(axis)


def _sizes(shape: Sequence[Any]) -> Sizes:
    """Sizes that a script gave."""
    try:
        sizes = tuple(operator.index(size) if not isinstance(size, float) else int(size) for size in shape)
    except TypeError as fault:
        help = "each size is an argument: reshape(1, 3, 227, 227), or reshape(*shape) of a list"
        raise NetdefError([error("ND1004", f"a blob cannot have the shape {shape!r}", help=help)]) from fault
    if any(size < 0 for size in sizes):
        raise NetdefError([error("ND1004", f"a blob cannot have the shape {sizes}: a size is negative")])
    return sizes


class ParamBlob(Blob):
    """A parameter: `data` is the layer's own tensor, `diff` its `.grad`, summed over backward passes until cleared."""

    def __init__(self, tensor: Tensor, shape: Sizes) -> None:
        self._tensor = tensor
        self._device = tensor.device
        self._shape = shape
        self._data = Memory(tensor)
        self._diff = None
        self._grad: Tensor | None = None

    @property
    def data(self) -> Floats:
        """The values, in Caffe's shape of them."""
        return self._data.array().reshape(self._shape)

    @property
    def diff(self) -> Floats:
        """The gradients, in Caffe's shape of them."""
        return self._diff_memory().array().reshape(self._shape)

    @property
    def learns(self) -> bool:
        """Whether a gradient reaches it."""
        return self._tensor.requires_grad

    @property
    def tensor(self) -> Tensor:
        """The layer's own tensor, up to date."""
        self._data.tensor()
        return self._tensor

    def reshape(self, *shape: int) -> None:
        """Refused unless the sizes are the same: a layer's parameters follow from its fields."""
        if tuple(shape) != self._shape:
            message = f"a parameter of shape {self._shape} cannot become {tuple(shape)}"
            raise NetdefError([error("ND1004", message, help="change the layer in the prototxt")])

    def flush(self) -> None:
        """Bring the layer's tensor and its gradient up to date with what numpy wrote."""
        self._data.tensor()
        if self._tensor.grad is not None:
            self._diff_memory().tensor()

    def changed(self) -> None:
        """Note that torch wrote into the tensor or its gradient."""
        self._data.changed()
        if self._diff is not None:
            self._diff.changed()

    def accumulate(self, gradient: Tensor) -> None:
        """Add a gradient to `diff`."""
        memory = self._diff_memory()
        memory.tensor().add_(gradient)
        memory.changed()

    def clear(self) -> None:
        """Set `diff` to 0."""
        if self._tensor.grad is not None:
            self._diff_memory().tensor().zero_()
            self._diff_memory().changed()

    def share(self, owner: ParamBlob) -> None:
        """Compute with the values of another net's parameter from now on; gradients stay apart."""
        self._tensor.data = owner._tensor.data.reshape(self._tensor.shape)
        self._data = owner._data

    def _diff_memory(self) -> Memory:
        if self._tensor.grad is None:
            self._tensor.grad = torch.zeros_like(self._tensor)
        if self._diff is None or self._grad is not self._tensor.grad:
            self._grad, self._diff = self._tensor.grad, Memory(self._tensor.grad)
        return self._diff
