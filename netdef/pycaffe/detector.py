"""How are windows of images classified (R-CNN)?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from netdef.diagnostics import NetdefError, error
from netdef.files import PathLike
from netdef.pycaffe import mode
from netdef.pycaffe.classifier import image_transformer
from netdef.pycaffe.images import load_image, resize_image
from netdef.pycaffe.memory import Floats
from netdef.pycaffe.net import Net

Window = Sequence[float]
"""(top, left, bottom, right), in pixels."""


class Detector(Net):
    """A deploy net that scores windows of images.

    Attributes:
        context_pad: pixels of the input that show what lies round a window.
    """

    def __init__(
        self,
        model_file: PathLike,
        pretrained_file: PathLike,
        mean: NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, phase=mode.TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much context a window shows; beyond the image's border the crop holds the mean."""
        self.context_pad = context_pad or 0
        name = self.inputs[0]
        channels, height, width = self.blobs[name].shape[1:]
        blank = np.zeros((1, channels, height, width), np.float32)
        self._blank = self.transformer.deprocess(name, blank) if self.context_pad else blank[0].transpose(1, 2, 0)

    def detect_windows(self, images_windows: Iterable[tuple[PathLike, Sequence[Window]]]) -> list[dict[str, Any]]:
        """Score windows of image files: for each, its `window`, `prediction` and `filename`."""
        places = [(file, window) for file, windows in images_windows for window in windows]
        images = {file: load_image(file) for file, _ in places}
        name = self.inputs[0]
        crops = [self.transformer.preprocess(name, self.crop(images[file], window)) for file, window in places]
        if not crops:
            return []
        scores = self.run_rows({name: np.array(crops)})[self.outputs[0]]
        found = scores.reshape(len(places), -1)
        return [
            {"window": window, "prediction": score, "filename": file}
            for (file, window), score in zip(places, found, strict=True)
        ]

    def detect_selective_search(self, image_fnames: Sequence[PathLike]) -> NoReturn:
        """Refused: it needs a MATLAB program; find windows in another way and give them to `detect_windows`."""
        mode.refuse("detect_selective_search, which needs MATLAB", "give windows to detect_windows")

    def crop(self, im: Floats, window: Window) -> Floats:
        """The part of an image in a window, with context if that is configured: then of the net's input size.

        The window is widened so that, resized, `context_pad` pixels of each side lie outside it.
        """
        if not self.context_pad:
            return _cut(im, window)
        return self._with_context(im, np.asarray(window, float))

    def _with_context(self, im: Floats, window: NDArray[np.float64]) -> Floats:
        size = self.blobs[self.inputs[0]].width
        box = _widened(window, size / (size - 2.0 * self.context_pad))
        scale = size / (box[2:] - box[:2] + 1)
        pads = np.round(np.maximum(0, -box[:2]) * scale).astype(int)
        inside = np.clip(box, 0, [im.shape[0], im.shape[1]] * 2).astype(int)
        lengths = inside[2:] - inside[:2] + 1
        sizes = np.minimum(np.round(lengths * scale).astype(int), size - pads)
        part = _cut(im, inside)
        crop = np.array(self._blank, np.float32)
        rows, columns = (slice(pad, pad + length) for pad, length in zip(pads, sizes, strict=True))
        crop[rows, columns] = resize_image(part, (int(sizes[0]), int(sizes[1])))
        return crop


def _cut(im: Floats, window: Window | NDArray[Any]) -> Floats:
    """The pixels in a window."""
    top, left, bottom, right = (int(side) for side in window)
    part = im[top:bottom, left:right]
    if not part.size:
        message = f"the window ({top}, {left}, {bottom}, {right}) has nothing of its image, {im.shape[:2]}"
        raise NetdefError([error("ND1015", message)])
    return part


def _widened(window: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """A window with its centre kept and its sides `scale` times as long, in whole pixels."""
    half = (window[2:] - window[:2] + 1) / 2
    centre = window[:2] + half
    return np.round(np.concatenate([centre - scale * half, centre + scale * half]))
