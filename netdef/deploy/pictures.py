"""How do image files become a net's input, as its `transform_param` wants them?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from netdef.data.batch import Floats
from netdef.data.faults import BadData
from netdef.data.images import COLOR, GRAY, decode_pixels, read_file
from netdef.data.mean import read_mean
from netdef.data.paths import locate
from netdef.ir import Graph
from netdef.layers.data import Data, ImageData, MemoryData, Transform

Order = Literal["BGR", "RGB"]
Size = tuple[int, int]
Sizes = tuple[int, int | None, int | None]
"""Channels, height and width; None where these are free."""
SUFFIXES = frozenset({".bmp", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What counts as an image when a whole folder is given."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is to be done to an image before a net sees it, in Caffe's words.

    Attributes:
        resize: (height, width) to resize to before the crop; the net's own input size if None, and where that is free,
            nothing is resized.
        mean: nothing, a value for all channels or for each, or an image (C, H, W), in the net's order of channels.
        scale: factor after the mean is subtracted.
        order: of the net's channels; Caffe's is blue, green, red.
        crops: 1 for the middle, 10 for the middle and the corners, each also mirrored.
    """

    resize: Size | None = None
    mean: Floats | None = None
    scale: float = 1.0
    order: Order = "BGR"
    crops: Literal[1, 10] = 1


@dataclass(frozen=True, slots=True)
class Preparation:
    """A recipe for an input of a known size (C, H, W); a height or width of None is each image's own."""

    recipe: Recipe
    sizes: Sizes

    def __post_init__(self) -> None:
        """Raises BadData ND0953 where recipe and input do not fit."""
        _check(self.recipe, self.sizes)

    @property
    def resized(self) -> tuple[int | None, int | None]:
        """Sizes before the crop."""
        return self.recipe.resize or self.sizes[1:]

    def read(self, path: Path) -> Floats:
        """The crops of an image file as rows of the net's input, (crops, C, H, W).

        BadData: ND0531 the file cannot be read, ND0513 it is no image.
        """
        mode = COLOR if self.sizes[0] == 3 else GRAY
        pixels = decode_pixels(read_file(path, str(path)), mode, str(path))
        return self.rows(pixels)

    def rows(self, pixels: NDArray[np.uint8]) -> Floats:
        """The same for a decoded image, (H, W, 3) in blue, green, red, or (H, W)."""
        height, width = self._size(pixels)
        if pixels.shape[:2] != (height, width):
            pixels = np.asarray(cv2.resize(pixels, (width, height)), np.uint8)  # bilinear, as Caffe's tools
        planes = pixels.reshape(height, width, self.sizes[0]).transpose(2, 0, 1)
        if self.recipe.order == "RGB":
            planes = planes[::-1]
        size = self.sizes[1] or height, self.sizes[2] or width
        rows = np.empty((self.recipe.crops, self.sizes[0], *size), np.float32)
        for row, (y, x, mirrored) in zip(rows, self._places((height, width), size), strict=True):
            self._fill(row, planes, y, x)
            if mirrored:
                row[:] = row[:, :, ::-1].copy()
        return rows

    def _size(self, pixels: NDArray[np.uint8]) -> Size:
        """The size before the crop."""
        height, width = (wanted or own for wanted, own in zip(self.resized, pixels.shape[:2], strict=True))
        return height, width

    def _fill(self, row: Floats, planes: NDArray[np.uint8], y: int, x: int) -> None:
        """``(pixels - mean) * scale`` of one crop. Source: Caffe's data_transformer.cpp."""
        _, height, width = row.shape
        mean = self.recipe.mean
        row[:] = planes[:, y : y + height, x : x + width]
        if mean is not None:
            row -= mean[:, y : y + height, x : x + width] if mean.shape[1:] == planes.shape[1:] else mean
        if self.recipe.scale != 1.0:
            row *= np.float32(self.recipe.scale)

    def _places(self, whole: Size, part: Size) -> list[tuple[int, int, bool]]:
        """Upper left corner of each crop, and whether it is mirrored. Source: pycaffe's io.py, oversample."""
        (height, width), (h, w) = whole, part
        middle = ((height - h) // 2, (width - w) // 2)
        if self.recipe.crops == 1:
            return [(*middle, False)]
        corners = [(y, x) for y in (0, height - h) for x in (0, width - w)]
        return [(y, x, mirrored) for mirrored in (False, True) for y, x in (*corners, middle)]


def _check(recipe: Recipe, sizes: Sizes) -> None:
    if sizes[1] and sizes[2]:
        _check_sizes(recipe, (sizes[0], sizes[1], sizes[2]))
        return
    net = "x".join(str(size or "?") for size in sizes)
    if recipe.crops > 1:
        raise BadData("ND0953", f"ten crops have no size where that of the net's input, {net}, is free")
    shape = () if recipe.mean is None else recipe.mean.shape
    if shape and shape not in {(1, 1, 1), (sizes[0], 1, 1)} and shape != (sizes[0], *(recipe.resize or ())):
        help = f"resize images to it: --resize {shape[1]}x{shape[2]}" if shape[0] == sizes[0] else ""
        found = "x".join(map(str, shape)) if shape[1:] != (1, 1) else f"{shape[0]} values"
        raise BadData("ND0953", f"a mean of {found} does not fit images of {net}", help=help)


def _check_sizes(recipe: Recipe, sizes: tuple[int, int, int]) -> None:
    channels, height, width = sizes
    resized = recipe.resize or sizes[1:]
    net = "x".join(map(str, sizes))
    if resized[0] < height or resized[1] < width:
        raise BadData("ND0953", f"images of {resized[0]}x{resized[1]} are smaller than the net's input, {net}")
    if recipe.crops > 1 and resized == (height, width):
        help = f"resize to something larger than the crops, such as --resize {_larger(height)}x{_larger(width)}"
        raise BadData(
            "ND0953", f"ten crops of {height}x{width} out of images of the same size are all alike", help=help
        )
    shape = () if recipe.mean is None else recipe.mean.shape
    if shape and shape not in {(1, 1, 1), (channels, 1, 1), sizes, (channels, *resized)}:
        found = "x".join(map(str, shape)) if shape[1:] != (1, 1) else f"{shape[0]} values"
        raise BadData("ND0953", f"a mean of {found} fits neither {channels} channels nor images of {net}")


def _larger(size: int) -> int:
    return -(-size * 8 // 7)


def recipe_of(graph: Graph, base_dir: Path | None) -> Recipe:
    """What the net's own data layer does to images when it tests; nothing where there is none.

    A `crop_size` alone tells no size to cut from: images are then resized to the crop itself, unless the mean image
    or `new_height` and `new_width` tell. BadData: ND0501, ND0521 the mean file.
    """
    for node in graph.nodes:
        if isinstance(node.layer, Data | ImageData | MemoryData):
            mean = _mean(node.layer.transform, base_dir)
            return Recipe(_size(node.layer, mean), mean, node.layer.transform.scale)
    return Recipe()


def _mean(transform: Transform, base_dir: Path | None) -> Floats | None:
    if transform.mean_file:
        return read_mean(locate(transform.mean_file, base_dir, "mean file"))
    return mean_values(transform.mean_values) if transform.mean_values else None


def mean_values(values: Sequence[float]) -> Floats:
    """Values for the channels, in a shape that broadcasts to an image."""
    return np.array(values, np.float32).reshape(-1, 1, 1)


def _size(layer: Data | ImageData | MemoryData, mean: Floats | None) -> Size | None:
    if isinstance(layer, ImageData) and layer.new_height:
        return layer.new_height, layer.new_width
    return (mean.shape[1], mean.shape[2]) if mean is not None and mean.shape[1:] != (1, 1) else None


def load_mean(path: Path) -> Floats:
    """A mean image (C, H, W), or a value for each channel (C), in a .binaryproto or .npy file; BadData ND0521."""
    if path.suffix.lower() != ".npy":
        return read_mean(path)
    try:
        mean = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        raise BadData("ND0521", f"{path}: cannot read the mean: {getattr(fault, 'strerror', None) or fault}") from fault
    if not isinstance(mean, np.ndarray) or mean.dtype.kind not in "fiu" or mean.ndim not in (1, 3) or not mean.size:
        raise BadData("ND0521", f"{path}: a mean is (channels) or (channels, height, width) numbers")
    return mean.astype(np.float32).reshape(mean.shape if mean.ndim == 3 else (-1, 1, 1))


def find_images(names: Iterable[str]) -> list[Path]:
    """The files among the names, and all images in the folders among them and below, in the order of their names.

    BadData ND0955: a folder without an image.
    """
    found: list[Path] = []
    for path in map(Path, names):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not inside:
            kinds = ", ".join(sorted(SUFFIXES))
            raise BadData(
                "ND0955", f"{path}: no image in this folder", help=f"names that end in {kinds} count as images"
            )
        found += inside
    return found


def read_ahead(
    paths: Iterable[Path], preparation: Preparation, *, ahead: int, workers: int = 4
) -> Iterator[tuple[Path, Floats | BadData]]:
    """The paths with their rows, or with what is wrong, in order; up to `ahead` of them are read while one waits."""

    def read(path: Path) -> Floats | BadData:
        try:
            return preparation.read(path)
        except BadData as fault:
            return fault

    todo = iter(paths)
    with ThreadPoolExecutor(workers, "netdef-read") as pool:
        waiting: deque[tuple[Path, Future[Floats | BadData]]] = deque()
        try:
            for path in islice(todo, ahead):
                waiting.append((path, pool.submit(read, path)))
            while waiting:
                path, future = waiting.popleft()
                for following in islice(todo, 1):
                    waiting.append((following, pool.submit(read, following)))
                yield path, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
