"""How is a folder of images classified in three lines?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdef.files import PathLike
from netdef.pycaffe import mode
from netdef.pycaffe.images import oversample, resize_image
from netdef.pycaffe.io import Transformer
from netdef.pycaffe.memory import Floats
from netdef.pycaffe.net import Net


class Classifier(Net):
    """A deploy net that takes images (H x W x K) and gives the probabilities of classes.

    Attributes:
        transformer: how images become the net's input.
        image_dims: the size (height, width) that images are resized to.
        crop_dims: the size of the net's input, which is cut out of them.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike,
        image_dims: Sequence[int] | None = None,
        mean: NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, phase=mode.TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else np.array(image_dims)

    def predict(self, inputs: Sequence[NDArray[Any]], oversample: bool = True) -> Floats:
        """The probabilities (N x classes) of images: of the centre crop, or the mean of ten crops of each."""
        resized = [resize_image(image, self.image_dims) for image in inputs]
        crops = _ten(resized, self.crop_dims) if oversample else np.array([self._centre(image) for image in resized])
        name = self.inputs[0]
        batch = np.array([self.transformer.preprocess(name, crop) for crop in crops])
        found = self.run_rows({name: batch})[self.outputs[0]]
        return found.reshape(len(inputs), 10, -1).mean(1) if oversample else found

    def _centre(self, image: Floats) -> Floats:
        height, width = (int(size) for size in self.crop_dims)
        top, left = (int(image.shape[i] / 2 - self.crop_dims[i] / 2) for i in (0, 1))
        return image[top : top + height, left : left + width]


_ten = oversample  # `predict` has an argument of the function's name


def image_transformer(
    net: Net,
    mean: NDArray[Any] | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> Transformer:
    """The Transformer of a net's first input for images H x W x K."""
    name = net.inputs[0]
    transformer = Transformer({name: net.blobs[name].shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer
