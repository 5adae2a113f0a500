"""How is a proven model extended to take a camera's images and name classes, and proven once more?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx.numpy_helper import to_array

from netdef.data.faults import reported
from netdef.deploy import runtime
from netdef.deploy.inputs import trial
from netdef.deploy.pictures import Preparation, Recipe
from netdef.deploy.twin import run_torch
from netdef.deploy.verify import BATCH_SIZES, TOLERANCE, blob_error, check
from netdef.diagnostics import NetdefError, RunError, error
from netdef.ir import Graph
from netdef.targets.onnx import sizes, value_names
from netdef.targets.onnx.camera import FRONT, Camera, Layout, add_camera, add_top_k

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Around:
    """What is put around a net.

    Attributes:
        recipe: how images are prepared; None leaves the net's own input.
        layout: of the images.
        top_k: how many of the best classes to give in the place of all scores; 0 leaves these.
        labels: a name for each class, or none.
    """

    recipe: Recipe | None = None
    layout: Layout = "NHWC"
    top_k: int = 0
    labels: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.recipe or self.top_k or self.labels)


NOTHING_AROUND = Around()


@dataclass(frozen=True, slots=True)
class Dressed:
    """What has been put around a model.

    Attributes:
        image: the name of the input for images, or None.
        best: the names of scores and indices, or nothing.
        props: metadata that tell of it.
        levels: how far the prepared images are from those of `netdef predict`, in grey levels; None without a proof.
    """

    image: str | None
    best: tuple[str, ...]
    props: Mapping[str, str]
    levels: float | None = None


def dress(
    graph: Graph,
    module: torch.nn.Module,
    model: onnx.ModelProto,
    around: Around,
    *,
    any_size: bool = False,
    verify: bool = True,
    seed: int = 0,
) -> Dressed:
    """Put the preparation of images in front of a model and the choice of classes behind it, and prove both.

    The proof is with random images: the prepared ones against those of `Preparation`, what the net makes of them
    against torch, and the best classes against its scores.

    Raises:
        NetdefError: the net does not take images (ND0921) or has no classes to choose from (ND0922), or mean and crop
            (ND0953) or labels (ND0956) do not fit.
        RunError: it does not compute what it should (ND0908).
    """
    classes = _classes(model, around) if around.top_k or around.labels else ("", 0)
    if around.labels and len(around.labels) != classes[1]:
        raise NetdefError([error("ND0956", f"{len(around.labels):,} labels for {classes[1]:,} classes")])
    plan = _plan(graph, around, any_size) if around.recipe else None
    outputs = [info.name for info in model.graph.output]
    image = add_camera(model, plan.camera) if plan else None
    best = add_top_k(model, classes[0], around.top_k) if around.top_k else ()
    levels = None
    if verify:
        check(model)
        whole = _Whole(graph, module, model, tuple(outputs), classes[0], best)
        if plan:
            levels = _prove_images(whole, plan, around.layout, seed)
        elif best:
            _prove_best(whole, seed)
    return Dressed(image, best, _props(around, plan), levels)


@dataclass(frozen=True, slots=True)
class Told:
    """What a model tells of itself.

    Attributes:
        dressed: whether something is around the net.
        recipe: how it prepares images, if it does.
        labels: a name for each class, or none.
    """

    dressed: bool = False
    recipe: Recipe | None = None
    labels: tuple[str, ...] = ()


def told(path: Path) -> Told:
    """What the model file at `path` tells; nothing where netdef did not write it, or it is no model."""
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except (OSError, DecodeError):
        return Told()  # whoever opens it next says what is wrong
    props = {prop.key: prop.value for prop in model.metadata_props}
    labels = tuple(props["netdef.labels"].split("\n")) if "netdef.labels" in props else ()
    if "netdef.preprocess" not in props:
        return Told("netdef.top_k" in props, None, labels)
    how = json.loads(props["netdef.preprocess"])
    mean = next((to_array(tensor) for tensor in model.graph.initializer if tensor.name == f"{FRONT}/mean"), None)
    recipe = Recipe(how["resize"] and tuple(how["resize"]), mean, how["scale"], how["channel_order"])
    return Told(True, recipe, labels)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The nodes to be, the same preparation in Python, and the size of a trial image."""

    camera: Camera
    preparation: Preparation
    size: tuple[int, int]


def _plan(graph: Graph, around: Around, any_size: bool) -> _Plan:
    recipe = around.recipe or Recipe()
    sizes = _image_sizes(graph)
    with reported():
        preparation = Preparation(recipe, sizes)
    height, width = recipe.resize or sizes[1:]
    if any_size and (recipe.resize or _is_picture(recipe.mean)):
        what = "--resize" if recipe.resize and not _is_picture(recipe.mean) else "a mean image"
        raise NetdefError([error("ND0921", f"with `--spatial dynamic` images have any size, and {what} fixes it")])
    y, x = (height - sizes[1]) // 2, (width - sizes[2]) // 2
    crop = (y, x, *sizes[1:]) if (height, width) != sizes[1:] else None
    flip = recipe.order == "BGR" and sizes[0] == 3
    mean = recipe.mean
    if mean is not None and mean.shape[1:] == (height, width) and crop:
        mean = mean[:, y : y + sizes[1], x : x + sizes[2]]
    camera = Camera(around.layout, recipe.resize, crop, flip, mean, recipe.scale)
    return _Plan(camera, preparation, (height + 31, 2 * width - 5) if recipe.resize else (height, width))


def _is_picture(mean: Array | None) -> bool:
    return mean is not None and mean.shape[1:] != (1, 1)


def _image_sizes(graph: Graph) -> tuple[int, int, int]:
    shapes = {blob.name: blob.shape.dims or () for blob in graph.inputs}
    dims = next(iter(shapes.values()), ())
    if len(shapes) != 1 or len(dims) != 4 or dims[1] not in (1, 3) or not (dims[2] and dims[3]):
        found = ", ".join(f"{blob.name} {blob.shape}" for blob in graph.inputs)
        raise NetdefError([error("ND0921", f"--preprocess is for nets that take images alone, not {found}")])
    return int(dims[1]), int(dims[2]), int(dims[3])


def _classes(model: onnx.ModelProto, around: Around) -> tuple[str, int]:
    """The output with the scores, and how many there are; ND0922 where there are none or too few."""
    infos = {info.name: info for info in model.graph.output}
    chosen = [*infos.values()] if len(infos) == 1 else [infos[name] for name in infos if name == "prob"]
    if not chosen:
        names = ", ".join(infos)
        raise NetdefError([error("ND0922", f"which of {names} holds the scores? none is called `prob`")])
    dims = [dim.dim_value for dim in chosen[0].type.tensor_type.shape.dim]
    shape = "x".join(str(size or "?") for size in dims)
    if len(dims) < 2 or not dims[1] or any(size != 1 for size in dims[2:]):
        message = f'"{chosen[0].name}" is {shape}, which is not one score for each class'
        raise NetdefError([error("ND0922", message)])
    if around.top_k > dims[1]:
        raise NetdefError([error("ND0922", f"the best {around.top_k} of {dims[1]} classes cannot be chosen")])
    return chosen[0].name, dims[1]


def _props(around: Around, plan: _Plan | None) -> dict[str, str]:
    props = {}
    if plan:
        recipe, (_, height, width) = plan.preparation.recipe, plan.preparation.sizes
        mean = None if recipe.mean is None else "an image" if _is_picture(recipe.mean) else recipe.mean.ravel().tolist()
        told = {
            "images": f"uint8 {'RGB' if plan.preparation.sizes[0] == 3 else 'grey'} {around.layout}",
            "resize": recipe.resize,
            "crop": [height, width],
            "mean": mean,
            "scale": recipe.scale,
            "channel_order": recipe.order,
        }
        props["netdef.preprocess"] = json.dumps(told)
    if around.top_k:
        props["netdef.top_k"] = str(around.top_k)
    if around.labels:
        props["netdef.labels"] = "\n".join(around.labels)
    return props


@dataclass(frozen=True, slots=True)
class _Whole:
    """A dressed model, the net in torch, the net's outputs by name, and those of them that are judged and chosen."""

    graph: Graph
    module: torch.nn.Module
    model: onnx.ModelProto
    outputs: tuple[str, ...]
    scores: str
    best: tuple[str, ...]

    def batches(self) -> Sequence[int]:
        """The batch sizes to try."""
        fixed = self.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
        return (fixed,) if fixed else BATCH_SIZES

    def session(self, *more: str) -> runtime.Run:
        """The model in ONNX Runtime, with the values `more` as outputs too."""
        names = [*more, *self.outputs, *self.best]
        with runtime.exposing(self.model, names, {info.name: info for info in self.model.graph.output}):
            return runtime.session(self.model)

    def judge(self, feed: Mapping[str, Array], found: Mapping[str, Array]) -> None:
        """Raise RunError ND0908 where outputs or best classes are not torch's for that feed."""
        expected = run_torch(self.module, feed)
        names = dict(zip(self.outputs, (expected[blob.id] for blob in self.graph.outputs), strict=True))
        for name, value in names.items():
            _require(blob_error(name, "", value, found[name]).max_rel <= TOLERANCE, f'output "{name}"')
        if self.best:
            scores = names[self.scores]
            _require_best(scores.reshape(len(scores), -1), *(found[name] for name in self.best))


def _prove_images(whole: _Whole, plan: _Plan, layout: Layout, seed: int) -> float:
    """Run the whole on random images; returns the largest difference of a prepared image, in grey levels."""
    (blob,) = whole.graph.inputs
    run = whole.session(blob.name)
    levels = 0.0
    for batch in whole.batches():
        images = _images(batch, plan, seed + batch)
        given = images.transpose(0, 3, 1, 2) if layout == "NCHW" else images
        found = run({whole.model.graph.input[0].name: np.ascontiguousarray(given)})
        wanted = np.concatenate([plan.preparation.rows(_pixels(each)) for each in images])
        levels = max(levels, _levels(wanted, found[blob.name], plan.camera))
        whole.judge({blob.id: found[blob.name]}, found)
    return levels


def _prove_best(whole: _Whole, seed: int) -> None:
    """Run a net with its own inputs, and see that the best classes are those of torch."""
    run, names = whole.session(), value_names(whole.graph)
    for batch in whole.batches():
        feed = trial(whole.graph, sizes(whole.graph, batch), batch, seed + batch)
        whole.judge(feed, run({names[id]: array for id, array in feed.items()}))


def _images(batch: int, plan: _Plan, seed: int) -> Array:
    """Random RGB images, batch x height x width x channels."""
    shape = (batch, *plan.size, plan.preparation.sizes[0])
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def _pixels(image: Array) -> Array:
    """The image as OpenCV would have decoded it: blue first, grey without an axis for it."""
    return np.ascontiguousarray(image[..., ::-1] if image.shape[2] == 3 else image[..., 0])


def _levels(wanted: Array, found: Array, camera: Camera) -> float:
    """The largest difference in grey levels; ND0908 where it is more than the rounding of a resized pixel."""
    apart = float(np.max(np.abs(wanted.astype(np.float64) - found))) / (abs(camera.scale) or 1.0)
    _require(apart <= (1.001 if camera.resize else 1e-3), f"the preparation of images, {apart:.3g} grey levels off")
    return apart


def _require_best(scores: Array, best: Array, indices: Array) -> None:
    """The best scores, and indices that lead to them; equal ones may stand in any order."""
    ordered = -np.sort(-scores, axis=1)[:, : best.shape[1]]
    there = np.take_along_axis(scores, indices, axis=1)
    close = np.allclose(best, ordered, atol=TOLERANCE) and np.allclose(best, there, atol=TOLERANCE)
    _require(close, "the choice of the best classes")


def _require(holds: bool, what: str) -> None:
    if not holds:
        message = f"ONNX Runtime and torch part on random images: {what}"
        raise RunError([error("ND0908", message, help="`netdef explain ND0908` tells what may be the reason")])
