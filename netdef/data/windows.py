"""How are batches of windows cut from images, as by Caffe's WindowData layer?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netdef.data.batch import Floats, Top
from netdef.data.faults import BadData
from netdef.data.image_list import Folder
from netdef.data.images import COLOR, read_image, resize
from netdef.data.lists import Entry, read_file_list
from netdef.data.paths import locate
from netdef.data.reader import DRAW, Labels, Ticket, Work
from netdef.data.transform import Transformer
from netdef.ir import Phase
from netdef.layers.data import WindowData

CACHED_IMAGES = 1 << 16
F = np.float32


@dataclass(frozen=True, slots=True)
class Window:
    """A box in an image, its corners within it; `label` is 0 for background."""

    path: str
    label: int
    overlap: float
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of an image, the size to warp it to, and where it then lies in the crop."""

    rows: slice
    columns: slice
    size: tuple[int, int]
    top: int
    left: int


class WindowReader:
    """Windows drawn at random: background first, then `fg_fraction` of the batch with objects.

    Around a window lie `context_pad` pixels of its surroundings; what is beyond the image is 0 after the mean is
    subtracted. Source: Caffe's window_data_layer.cpp.
    """

    def __init__(self, layer: WindowData, windows: list[Window], transformer: Transformer, folder: Folder) -> None:
        self._layer, self._transformer, self._folder = layer, transformer, folder
        self._kinds = (
            [window for window in windows if window.overlap < min(layer.bg_threshold, layer.fg_threshold)],
            [window for window in windows if window.overlap >= layer.fg_threshold],
        )
        self.batch_size, self.epoch_size = layer.batch_size, len(windows)
        self._num_foreground = int(layer.batch_size * F(layer.fg_fraction))
        self._image = lru_cache(CACHED_IMAGES if layer.cache_images else 0)(self._read)

    @classmethod
    def open(cls, layer: WindowData, phase: Phase, base_dir: Path | None, labels: Labels) -> WindowReader:
        """Read the window file and the mean file."""
        source = locate(layer.source, base_dir, "window file")
        windows = list(read_windows(source))
        transformer = Transformer.open(layer.transform, phase, base_dir)
        reader = cls(layer, windows, transformer, Folder(layer.root_folder, base_dir))
        reader.check(labels)
        return reader

    def check(self, labels: Labels) -> None:
        """BadData where a batch asks for windows of a kind that isn't there (ND0504), or a label is out of range."""
        wanted = (self.batch_size - self._num_foreground, self._num_foreground)
        for kind, windows, count in zip(("background", "foreground"), self._kinds, wanted, strict=True):
            if count and not windows:
                raise BadData("ND0504", f"{self._layer.source}: a batch needs {count} {kind} windows, there are none")
        found = self._kinds[1]
        labels.check(np.array([window.label for window in found], F), lambda row: f"a window of {found[row].path}")

    def fetch(self, ticket: Ticket) -> Work:
        """Draw the windows; cutting them is the work."""
        draws = ticket.rng(DRAW, ticket.number).random((self.batch_size, 2))
        rows = ticket.shard.rows(self.batch_size)
        chosen = [(self._draw(row, draws[row, 0]), bool(draws[row, 1] < 0.5)) for row in rows]
        return partial(self._make, chosen)

    def close(self) -> None:
        """Let cached images go."""
        self._image.cache_clear()

    def _draw(self, row: int, draw: float) -> Window:
        windows = self._kinds[row >= self.batch_size - self._num_foreground]
        return windows[int(draw * len(windows))]

    def _make(self, chosen: list[tuple[Window, bool]]) -> tuple[Top, ...]:
        mirror = self._layer.transform.mirror
        images = np.stack([self._warp(window, flip and mirror) for window, flip in chosen])
        labels = [window.label if window.overlap >= self._layer.fg_threshold else 0 for window, _ in chosen]
        return images, np.array(labels, F)

    def _warp(self, window: Window, flip: bool) -> Floats:
        image = self._image(window.path)
        layer = self._layer
        cut = place(window, image.shape[1:], layer.crop_size, layer.context_pad, layer.crop_mode == "square", flip)
        part = image[:, cut.rows, cut.columns]
        if not part.size:
            raise BadData("ND0533", f"{layer.source}: a window of {window.path} lies outside the image")
        part = resize(part, cut.size)
        result = np.zeros((len(image), layer.crop_size, layer.crop_size), F)
        area = (slice(cut.top, cut.top + cut.size[0]), slice(cut.left, cut.left + cut.size[1]))
        result[:, *area] = self._normalise(part[:, :, ::-1] if flip else part, area)
        return result

    def _normalise(self, part: NDArray[np.uint8], area: tuple[slice, slice]) -> Floats:
        values = part.astype(F)
        transform, mean = self._layer.transform, self._transformer.mean
        if mean is not None:
            off = (mean.shape[2] - self._layer.crop_size) // 2
            values -= mean[:, off + area[0].start : off + area[0].stop, off + area[1].start : off + area[1].stop]
        elif transform.mean_values:
            values -= np.array(transform.mean_values, F).reshape(-1, 1, 1)
        return values * F(transform.scale)

    def _read(self, path: str) -> NDArray[np.uint8]:
        return read_image(self._folder.path(Entry(path, 0, 0)), None, COLOR, self._layer.source)


def place(window: Window, image: tuple[int, ...], crop: int, pad: int, square: bool, flip: bool) -> Cut:
    """Where a window and its context lie in an image (H, W), and in the crop."""
    if not (pad or square):
        return Cut(slice(window.y1, window.y2 + 1), slice(window.x1, window.x2 + 1), (crop, crop), 0, 0)
    half_h, half_w = F(window.y2 - window.y1 + 1) / 2, F(window.x2 - window.x1 + 1) / 2
    centre_y, centre_x = F(window.y1) + half_h, F(window.x1) + half_w
    if square:
        half_h = half_w = max(half_h, half_w)
    scale = F(crop) / F(crop - 2 * pad)
    rows, height, before_h, _ = _axis(centre_y, half_h * scale, image[0], crop)
    columns, width, before_w, after_w = _axis(centre_x, half_w * scale, image[1], crop)
    left = after_w if flip else before_w
    return Cut(rows, columns, (min(height, crop - before_h), min(width, crop - left)), before_h, left)


def _axis(centre: F, half: F, size: int, crop: int) -> tuple[slice, int, int, int]:
    """On one axis: the clipped region, its size in the crop, and the padding before and after it."""
    start, end = _round(centre - half), _round(centre + half)
    before, after = max(0, -start), max(0, end - size + 1)
    scale = F(crop) / F(end - start + 1)
    region = slice(start + before, end - after + 1)
    return region, _round(F(region.stop - region.start) * scale), _round(F(before) * scale), _round(F(after) * scale)


def _round(value: F) -> int:
    """C's round: halves away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))


def read_windows(path: Path) -> Iterator[Window]:
    """The windows of a window file; BadData ND0533 where it breaks off or holds what is no number.

    For each image: ``# index``, path, channels, height, width, the number of windows, and for each of those
    ``label overlap x1 y1 x2 y2``.
    """
    tokens = iter(read_file_list(path))
    try:
        for mark in tokens:
            if mark != "#":
                raise BadData("ND0533", f'{path}: expected "#" before an image, found "{mark[:40]}"')
            _, image, _, _, _, count = islice(tokens, 6)
            for _ in range(int(count)):
                label, overlap, x1, y1, x2, y2 = islice(tokens, 6)
                yield Window(image, int(label), float(overlap), int(x1), int(y1), int(x2), int(y2))
    except ValueError as fault:
        raise BadData("ND0533", f"{path}: broken off, or a word in the place of a number") from fault
