"""The names that Caffe's old code has for a blob's axes: num, channels, height, width."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod


class FourAxes(ABC):
    """A blob as pycaffe's users know it, seen from its shape. Source: Caffe's blob.hpp, LegacyShape."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The sizes of all axes."""

    @property
    def count(self) -> int:
        """The number of values."""
        return prod(self.shape)

    @property
    def num(self) -> int:
        """The size of axis 0, 1 where there is none."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """The size of axis 1, 1 where there is none."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """The size of axis 2, 1 where there is none."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """The size of axis 3, 1 where there is none."""
        return self._legacy(3)

    def _legacy(self, axis: int) -> int:
        return self.shape[axis] if axis < len(self.shape) else 1
