"""How can numpy and torch hold the same numbers?"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]


class Memory:
    """A contiguous float32 tensor that numpy reads and writes too (source: Caffe's syncedmem.cpp).

    On the CPU both are one memory. On a GPU the array is a mirror: it is brought up to date when it is asked for, and
    what was written into it reaches the device at the next use there. So an array must be asked for again after the
    device has worked, exactly as in Caffe.

    Attributes:
        mirrored: whether the array is a copy of what a device holds.
    """

    __slots__ = ("_array", "_device_is_newer", "_host_is_newer", "_shaped", "_tensor", "mirrored")

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor.detach()
        self._shaped = self._tensor
        self.mirrored = tensor.device.type != "cpu"
        self._array: Floats | None = self._tensor.numpy() if tensor.device.type == "cpu" else None
        self._host_is_newer = False
        self._device_is_newer = True

    @classmethod
    def zeros(cls, count: int, device: torch.device) -> Memory:
        """A flat memory of `count` zeros."""
        return cls(torch.zeros(count, device=device))

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return self._tensor.numel()

    def array(self) -> Floats:
        """The numbers for numpy, which may write them."""
        if self._array is None:
            self._array = np.empty(tuple(self._tensor.shape), np.float32)
        if self.mirrored:
            if self._device_is_newer:
                torch.from_numpy(self._array).copy_(self._tensor)
            self._device_is_newer, self._host_is_newer = False, True
        return self._array

    def tensor(self) -> Tensor:
        """The numbers for torch; who writes them says so by `changed`."""
        if self.mirrored and self._host_is_newer and self._array is not None:
            self._tensor.copy_(torch.from_numpy(self._array))
            self._host_is_newer = False
        return self._tensor

    def shaped(self, shape: tuple[int, ...]) -> Tensor:
        """The first numbers for torch in some shape, with a version counter of their own: others may write them."""
        tensor = self.tensor()
        if self._shaped.shape != shape:
            self._shaped = tensor.reshape(-1)[: prod(shape)].view(shape)
        return self._shaped.data

    def changed(self) -> None:
        """Note that torch wrote into the tensor."""
        self._host_is_newer, self._device_is_newer = False, True
