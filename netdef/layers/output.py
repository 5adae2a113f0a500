"""Where do blobs go that leave the net by a file?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from netdef.ir import Shape, agree
from netdef.layers.base import Arity, Layer, Mismatch, Unsupported, exactly, layer
from netdef.layers.block import Block
from netdef.layers.record import OnnxBuilder, TorchRecorder, Value

MAX_AXES = 4


@layer("HDF5Output")
@dataclass(frozen=True, slots=True)
class HDF5Output(Layer):
    """Writes its two bottoms to the data sets `data` and `label` of an HDF5 file, in four axes (N, C, H, W) as Caffe.

    The first forward makes the file, and each later one adds its rows; Caffe itself fails at the second one. No
    gradient flows back. Source: Caffe's hdf5_output_layer.cpp.
    """

    num_bottoms: ClassVar[Arity] = exactly(2)
    num_tops: ClassVar[Arity] = exactly(0)
    label_bottoms: ClassVar[frozenset[int]] = frozenset({0, 1})
    file_name: str

    @classmethod
    def decode(cls, block: Block) -> Self:
        """Read `hdf5_output_param`."""
        name = block.message.hdf5_output_param.file_name
        if not name:
            block.reject(
                "ND0480", "an HDF5Output layer needs `hdf5_output_param { file_name: … }`", "hdf5_output_param"
            )
        return cls(name)

    def infer(self, bottoms: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """No tops; both bottoms have as many rows, and at most four axes."""
        for i, shape in enumerate(bottoms):
            if shape.ranked and not 1 <= shape.rank <= MAX_AXES:
                raise Mismatch(
                    f"HDF5Output writes blobs of 1 to {MAX_AXES} axes, found {shape.rank} ({shape})",
                    bottom=i,
                    code="ND0481",
                )
        if all(shape.ranked for shape in bottoms) and not agree(bottoms[0][0], bottoms[1][0]):
            rows = f"{bottoms[0][0]} of the first bottom, {bottoms[1][0]} of the second"
            message = f"HDF5Output writes rows side by side: {rows}"
            raise Mismatch(message, bottom=1, other=0, code="ND0481")
        return ()

    def torch(self, g: TorchRecorder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """`netdef.nn.Hdf5Writer`, called for what it does alone."""
        g.netdef.Hdf5Writer(self.file_name)(*bottoms)
        return ()

    def onnx(self, g: OnnxBuilder, bottoms: tuple[Value, ...]) -> tuple[Value, ...]:
        """There is none."""
        raise Unsupported("HDF5Output writes a file, which an ONNX model cannot", help="leave the layer out")
