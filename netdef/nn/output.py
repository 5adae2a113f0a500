"""How does a module write what passes through it into a file?"""

from __future__ import annotations

from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netdef.diagnostics import RunError, error
from netdef.files import replacing

_SETS = ("data", "label")


class Hdf5Writer(nn.Module):
    """Adds the rows of its two inputs to the data sets `data` and `label` of an HDF5 file: its only effect.

    The first call puts a new file in place, whole or not at all; each later one adds rows, so that a file without a
    batch in the middle is there between any two calls. Rows have three axes, ones behind, as Caffe writes them.

    Raises:
        RunError: ND0581, the file cannot be written, or the rows have another size than those before.

    Source: Caffe's hdf5_output_layer.cpp.
    """

    def __init__(self, file_name: str) -> None:
        super().__init__()
        self.file_name = file_name
        self.rows = 0

    @torch.compiler.disable  # type: ignore[untyped-decorator, unused-ignore]
    def forward(self, data: Tensor, label: Tensor) -> None:
        """Write (N, …) and (N, …)."""
        arrays = [_four_axes(tensor) for tensor in (data, label)]
        try:
            if self.rows:
                with h5py.File(self.file_name, "r+") as file:
                    _append(file, arrays)
            else:
                with replacing(self.file_name) as stream, h5py.File(stream, "w") as file:
                    _create(file, arrays)
        except (OSError, KeyError, TypeError) as fault:
            reason = getattr(fault, "strerror", None) or fault
            raise RunError([error("ND0581", f"{self.file_name} cannot be written: {reason}")]) from fault
        self.rows += len(arrays[0])

    def extra_repr(self) -> str:
        """The file."""
        return repr(self.file_name)


def _four_axes(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().float().cpu().numpy()
    return array.reshape(array.shape + (1,) * (4 - array.ndim))


def _create(file: h5py.File, arrays: list[NDArray[Any]]) -> None:
    for name, array in zip(_SETS, arrays, strict=True):
        file.create_dataset(name, data=array, maxshape=(None, *array.shape[1:]), dtype=np.float32)


def _append(file: h5py.File, arrays: list[NDArray[Any]]) -> None:
    for name, array in zip(_SETS, arrays, strict=True):
        if file[name].shape[1:] != array.shape[1:]:
            raise TypeError(f'rows of "{name}" were {file[name].shape[1:]} and are {array.shape[1:]}')
    for name, array in zip(_SETS, arrays, strict=True):
        held = file[name]
        held.resize(len(held) + len(array), axis=0)
        held[-len(array) :] = array
