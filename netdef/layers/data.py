"""Where do blobs come from? Data layers and Input, whose tops enter the graph from outside, and Parameter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from netdef.ir import UNKNOWN, Filler, ParamSpec, Shape
from netdef.layers.base import Arity, Layer, at_least, between, exactly, layer
from netdef.layers.blob_shape import decode_shape, decode_shapes, spread
from netdef.layers.block import Block
from netdef.layers.filler import decode_filler
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value


@dataclass(frozen=True, slots=True)
class Source(Layer):
    """A layer whose tops a data source, or the caller, brings in."""

    num_bottoms: ClassVar[Arity] = exactly(0)
    is_source: ClassVar[bool] = True

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """Never asked: the tops are arguments of the graph."""
        raise AssertionError(f"{self.type} is an input")


@dataclass(frozen=True, slots=True)
class Transform:
    """What Caffe's DataTransformer does to an image: crop, mirror, subtract the mean, multiply by the scale.

    Attributes:
        scale: factor after the mean is subtracted.
        mirror: flip left to right with probability 1/2, in TEST too.
        crop_size: side of the square cut out, at random in TRAIN, in the centre in TEST; 0 cuts nothing.
        mean_file: a mean image (BlobProto), or empty.
        mean_values: one mean for all channels, or one for each.
        force_color, force_gray: how an encoded image is decoded.
    """

    scale: float = 1.0
    mirror: bool = False
    crop_size: int = 0
    mean_file: str = ""
    mean_values: tuple[float, ...] = ()
    force_color: bool = False
    force_gray: bool = False

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read a TransformationParameter (source: Caffe's data_transformer.cpp)."""
        m = block.message
        if m.mean_file and m.mean_value:
            block.reject("ND0470", "`mean_file` and `mean_value` cannot both be given", "mean_value")
        if m.force_color and m.force_gray:
            block.reject("ND0471", "`force_color` and `force_gray` cannot both be set", "force_gray")
        return cls(m.scale, m.mirror, m.crop_size, m.mean_file, tuple(m.mean_value), m.force_color, m.force_gray)

    def cut(self, shape: Shape) -> Shape:
        """The shape of a batch (N, C, H, W) after the crop."""
        return Shape.of(*shape.sizes[:2], self.crop_size, self.crop_size) if self.crop_size else shape


@layer("Input")
@dataclass(frozen=True, slots=True)
class Input(Source):
    """Blobs that the caller sets, with the shapes written here. Source: Caffe's input_layer.cpp."""

    num_tops: ClassVar[Arity] = at_least(1)
    shapes: tuple[Shape, ...]

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `input_param`: no shape, one for all tops, or one for each."""
        shapes = tuple(
            decode_shape(block.sub("input_param"), "shape", i) for i in range(len(block.message.input_param.shape))
        )
        if len(shapes) not in (0, 1, block.num_tops):
            message = f"Input has {block.num_tops} tops and {len(shapes)} shapes; give one for all, or one for each top"
            block.reject("ND0472", message, "input_param")
        return cls(spread(shapes or (UNKNOWN,), block.num_tops))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shapes as written."""
        return self.shapes


@layer("Data")
@dataclass(frozen=True, slots=True)
class Data(Source):
    """Images and labels from a database of Datum records (LMDB or LevelDB), in the order of their keys.

    Tops: images (N, C, H, W), labels (N). Source: Caffe's data_layer.cpp.
    """

    num_tops: ClassVar[Arity] = between(1, 2)
    source: str
    backend: Literal["LEVELDB", "LMDB"]
    batch_size: int
    rand_skip: int
    transform: Transform
    count: int = 2

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `data_param` and `transform_param`."""
        p = block.sub("data_param")
        if not p.message.source:
            block.reject("ND0473", "a Data layer needs `data_param { source: … }`", "data_param")
        _warn_unread(p, ("scale", "mean_file", "crop_size", "mirror"))
        return cls(
            p.message.source,
            "LMDB" if p.enum("backend") == "LMDB" else "LEVELDB",
            p.positive("batch_size"),
            p.message.rand_skip,
            Transform.decode(block.sub("transform_param")),
            block.num_tops,
        )

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """What the layer itself tells: the batch and the crop; the database tells the rest."""
        return _image_and_label(self.batch_size, self.transform, self.count)


@layer("ImageData")
@dataclass(frozen=True, slots=True)
class ImageData(Source):
    """Images and labels from a text file with a path and a label a line.

    Tops: images (N, C, H, W), channels in BGR order, and labels (N). Source: Caffe's image_data_layer.cpp.
    """

    num_tops: ClassVar[Arity] = exactly(2)
    source: str
    batch_size: int
    rand_skip: int
    shuffle: bool
    new_height: int
    new_width: int
    is_color: bool
    root_folder: str
    transform: Transform

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `image_data_param` and `transform_param`."""
        p = block.sub("image_data_param")
        m = p.message
        if not m.source:
            block.reject("ND0473", "an ImageData layer needs `image_data_param { source: … }`", "image_data_param")
        _warn_unread(p, ("scale", "mean_file", "crop_size", "mirror"))
        if bool(m.new_height) != bool(m.new_width):
            p.reject("ND0474", "`new_height` and `new_width` go together; only one is given")
        return cls(
            m.source,
            p.positive("batch_size"),
            m.rand_skip,
            m.shuffle,
            m.new_height,
            m.new_width,
            m.is_color,
            m.root_folder,
            Transform.decode(block.sub("transform_param")),
        )

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The batch, the channels, and the size when the layer resizes or crops."""
        channels = 3 if self.is_color else 1
        image = Shape.of(self.batch_size, channels, self.new_height or None, self.new_width or None)
        return self.transform.cut(image), Shape.of(self.batch_size)


@layer("WindowData")
@dataclass(frozen=True, slots=True)
class WindowData(Source):
    """Crops around the windows that a text file lists for each image, some foreground, some background.

    Tops: windows (N, 3, crop, crop), labels (N). Source: Caffe's window_data_layer.cpp.
    """

    num_tops: ClassVar[Arity] = exactly(2)
    source: str
    batch_size: int
    crop_size: int
    fg_threshold: float
    bg_threshold: float
    fg_fraction: float
    context_pad: int
    crop_mode: str
    cache_images: bool
    root_folder: str
    transform: Transform

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `window_data_param` and `transform_param`."""
        p = block.sub("window_data_param")
        m = p.message
        transform = Transform.decode(block.sub("transform_param"))
        crop_size = transform.crop_size or m.crop_size
        _warn_unread(p, ("mean_file", "mirror"))
        if p.has("scale"):  # Caffe's layer reads this one, and not that of `transform_param`
            transform = replace(transform, scale=m.scale)
        if not crop_size:
            block.reject("ND0475", "WindowData needs `transform_param { crop_size: … }`", "transform_param")
        return cls(
            m.source,
            p.positive("batch_size"),
            crop_size,
            m.fg_threshold,
            m.bg_threshold,
            m.fg_fraction,
            m.context_pad,
            m.crop_mode,
            m.cache_images,
            m.root_folder,
            transform,
        )

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Known from the fields alone."""
        return Shape.of(self.batch_size, 3, self.crop_size, self.crop_size), Shape.of(self.batch_size)


@layer("HDF5Data")
@dataclass(frozen=True, slots=True)
class HDF5Data(Source):
    """Rows of HDF5 files; each top is the data set of its name. Source: Caffe's hdf5_data_layer.cpp.

    Batches run on across the end of a file.
    """

    num_tops: ClassVar[Arity] = at_least(1)
    source: str
    batch_size: int
    shuffle: bool
    datasets: tuple[str, ...]

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `hdf5_data_param`."""
        p = block.sub("hdf5_data_param")
        if not p.message.source:
            block.reject("ND0473", "an HDF5Data layer needs `hdf5_data_param { source: … }`", "hdf5_data_param")
        if block.message.HasField("transform_param"):
            block.reject("ND0476", "HDF5Data does not transform its data", "transform_param")
        return cls(p.message.source, p.positive("batch_size"), p.message.shuffle, tuple(block.message.top))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The files alone tell the shapes, even the number of axes."""
        return (UNKNOWN,) * len(self.datasets)


@layer("MemoryData")
@dataclass(frozen=True, slots=True)
class MemoryData(Source):
    """Images and labels that a program hands over. Tops: images (N, C, H, W), labels (N).

    Source: Caffe's memory_data_layer.cpp.
    """

    num_tops: ClassVar[Arity] = exactly(2)
    batch_size: int
    channels: int
    height: int
    width: int
    transform: Transform

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `memory_data_param`; all four sizes are required."""
        p = block.sub("memory_data_param")
        batch_size, channels, height, width = map(p.positive, ("batch_size", "channels", "height", "width"))
        return cls(batch_size, channels, height, width, Transform.decode(block.sub("transform_param")))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Known from the fields alone."""
        image = Shape.of(self.batch_size, self.channels, self.height, self.width)
        return image, Shape.of(self.batch_size)


@layer("DummyData")
@dataclass(frozen=True, slots=True)
class DummyData(Source):
    """Blobs filled by fillers: a constant one once, any other anew at each forward. Source: dummy_data_layer.cpp."""

    num_tops: ClassVar[Arity] = at_least(1)
    shapes: tuple[Shape, ...]
    fillers: tuple[Filler, ...]

    @property
    def is_constant(self) -> bool:
        """Whether every forward gives the same."""
        return all(filler.type == "constant" for filler in self.fillers)

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `dummy_data_param`: shapes (or num, channels, height, width), and no, one or each top's filler."""
        p = block.sub("dummy_data_param")
        m = p.message
        if len(m.data_filler) not in (0, 1, block.num_tops):
            p.reject("ND0477", f"{block.num_tops} tops need no, 1 or {block.num_tops} data_fillers", "data_filler")
        fillers = tuple(decode_filler(p.sub("data_filler", i)) for i in range(len(m.data_filler)))
        shapes, fillers = decode_shapes(p), spread(fillers or (Filler(),), block.num_tops)
        for index, (shape, filler) in enumerate(zip(shapes, fillers, strict=False)):
            if why := filler.misfit(shape):
                p.reject("ND0426", why, "data_filler", index)
        return cls(shapes, fillers)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shapes as written."""
        return self.shapes


@layer("Parameter")
@dataclass(frozen=True, slots=True)
class Parameter(Layer):
    """A learnable blob as a top, without a bottom. Source: Caffe's parameter_layer.hpp."""

    num_bottoms: ClassVar[Arity] = exactly(0)
    shape: Shape

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `parameter_param`."""
        return cls(decode_shape(block.sub("parameter_param"), "shape"))

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The shape as written."""
        return (self.shape,)

    def params(self, bottoms: tuple[Shape, ...]) -> tuple[ParamSpec, ...]:
        """The blob itself; Caffe leaves it at zero."""
        return (ParamSpec("weight", self.shape, Filler()),)

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """A copy: the parameter's own memory may be let go behind the way forward (FSDP)."""
        return (g.torch.clone(g.param("weight")),)

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """The initializer."""
        return (g.op("Identity", g.param("weight")),)


def _warn_unread(block: Block, names: tuple[str, ...]) -> None:
    """Caffe moves these fields out of `layers` of 2014, and leaves those in a `layer` of today unread."""
    for name in names:
        if block.has(name):
            help = f"write `transform_param {{ {name}: … }}`"
            block.warn("ND0486", f"`{name}` has no effect here, in Caffe neither", name, help=help)


def _image_and_label(batch_size: int, transform: Transform, count: int) -> tuple[Shape, ...]:
    return (transform.cut(Shape.of(batch_size, None, None, None)), Shape.of(batch_size))[:count]
