"""How do images and arrays become what a net or a database takes?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netdef.diagnostics import NetdefError, error
from netdef.pycaffe.images import load_image, oversample, resize_image
from netdef.pycaffe.memory import Floats
from netdef.pycaffe.proto import caffe_pb2

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]

Array = NDArray[Any]


def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """The values of a BlobProto (or its gradients) in its shape, the old four sizes if it has those."""
    values = np.array(blob.diff if return_diff else blob.data)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return values.reshape(blob.num, blob.channels, blob.height, blob.width)
    return values.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: ArrayLike, diff: ArrayLike | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto of an array of any shape, with gradients of the same shape if they are given."""
    values = np.asarray(arr)
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(values.shape)
    blob.data.extend(values.astype(float).ravel())
    if diff is not None:
        blob.diff.extend(np.asarray(diff).astype(float).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[ArrayLike]) -> bytes:
    """Arrays as one serialized BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(arr) for arr in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(string: bytes) -> list[Array]:
    """The arrays of a serialized BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(string).blobs]


def array_to_datum(arr: ArrayLike, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of an array C x H x W: bytes where it is uint8, floats otherwise.

    Raises:
        NetdefError: ND1011, it has not three axes.
    """
    values = np.asarray(arr)
    if values.ndim != 3:
        raise NetdefError([error("ND1011", f"a Datum holds channels x height x width, found the shape {values.shape}")])
    datum = caffe_pb2.Datum(channels=values.shape[0], height=values.shape[1], width=values.shape[2])
    if values.dtype == np.uint8:
        datum.data = values.tobytes()
    else:
        datum.float_data.extend(values.astype(float).ravel())
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum: Any) -> Array:
    """The array C x H x W of a Datum (its label is in `datum.label`): uint8 or float."""
    shape = datum.channels, datum.height, datum.width
    if datum.data:
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    return np.array(datum.float_data, float).reshape(shape)


class Transformer:
    """Turns images (H x W x K) into what the inputs of a net take, and back.

    In this order: resize to the input's height and width; transpose; swap channels; multiply by `raw_scale`; subtract
    the mean; multiply by `input_scale`. Each is done for the inputs that it was set for.

    Attributes:
        inputs: shapes (N, C, H, W) of the inputs by name.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Floats] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: Array) -> Floats:
        """An image as the input `in_` takes it; the image itself stays as it is."""
        self._check(in_)
        values = np.array(data, np.float32)
        if values.shape[:2] != self._sizes(in_)[1:]:
            values = resize_image(values, self._sizes(in_)[1:])
        if in_ in self.transpose:
            values = values.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            values = values[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            values = values * np.float32(self.raw_scale[in_])
        if in_ in self.mean:
            values = values - self.mean[in_]
        if in_ in self.input_scale:
            values = values * np.float32(self.input_scale[in_])
        return values

    def deprocess(self, in_: str, data: Array) -> Floats:
        """The image that an input was made from, all steps but the resize undone in reverse."""
        self._check(in_)
        values: Floats = np.array(data, np.float32)
        if in_ not in self.transpose:
            values = values.squeeze()
        elif values.ndim == len(self.inputs[in_]):
            values = values[0]
        if in_ in self.input_scale:
            values = values / np.float32(self.input_scale[in_])
        if in_ in self.mean:
            values = values + self.mean[in_]
        if in_ in self.raw_scale:
            values = values / np.float32(self.raw_scale[in_])
        if in_ in self.channel_swap:
            values = values[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            values = values.transpose(np.argsort(self.transpose[in_]))
        return values

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of axes, (2, 0, 1) for images H x W x K."""
        self._check(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise _misfit(in_, f"{len(order)} axes to transpose", f"{len(self.inputs[in_]) - 1}")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of channels, (2, 1, 0) from RGB to BGR."""
        self._check(in_)
        if len(order) != self.inputs[in_][1]:
            raise _misfit(in_, f"{len(order)} channels to swap", f"{self.inputs[in_][1]}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """A factor before the mean is subtracted: 255 for means of pixels from 0 to 255."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """A mean for each channel (K), or a mean image (K x H x W or H x W), which is resized to the input."""
        self._check(in_)
        channels, *sizes = self._sizes(in_)
        if mean.ndim == 1:
            if len(mean) != channels:
                raise _misfit(in_, f"{len(mean)} channels of a mean", f"{channels}")
            self.mean[in_] = mean[:, np.newaxis, np.newaxis].astype(np.float32)
            return
        image = mean[np.newaxis] if mean.ndim == 2 else mean
        if image.ndim != 3 or image.shape[0] != channels:
            raise _misfit(in_, f"a mean of shape {mean.shape}", f"{channels} channels")
        if list(image.shape[1:]) != sizes:
            image = resize_image(image.transpose(1, 2, 0), sizes).transpose(2, 0, 1)
        self.mean[in_] = image.astype(np.float32)

    def set_input_scale(self, in_: str, scale: float) -> None:
        """A factor after the mean is subtracted."""
        self._check(in_)
        self.input_scale[in_] = scale

    def _sizes(self, in_: str) -> tuple[int, ...]:
        """Channels, height, width."""
        return tuple(int(size) for size in self.inputs[in_][1:])

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            help = "its inputs: " + ", ".join(map(str, self.inputs))
            raise NetdefError([error("ND1011", f'the Transformer has no input "{in_}"', help=help)])


def _misfit(in_: str, found: str, wanted: str) -> NetdefError:
    return NetdefError([error("ND1011", f'{found} for the input "{in_}", which has {wanted}')])
