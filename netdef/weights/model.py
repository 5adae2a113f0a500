"""What is a set of weights in memory: layers by name, each with its blobs in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netdef.weights.narrow import Floats


@dataclass(frozen=True, slots=True, eq=False)
class LayerWeights:
    """The parameters of one layer.

    Attributes:
        name: the layer's name.
        type: Caffe's type of it ("Convolution"), empty where the format has none.
        blobs: its parameters in Caffe's order.
        diffs: their gradients, or None where there is none; empty for none at all. Only written, never read.
        keys: what the file calls each blob: its index ("0") in Caffe's formats, its name ("weight") in
            safetensors. Empty means "0", "1", …. HDF5 may leave an index out: a shared weight is stored with
            its owner alone.
        legacy: the indices of the blobs whose shape is Caffe's four old axes.
    """

    name: str
    type: str = ""
    blobs: Sequence[Floats] = ()
    diffs: Sequence[Floats | None] = ()
    keys: tuple[str, ...] = ()
    legacy: frozenset[int] = frozenset()

    @property
    def blob_keys(self) -> tuple[str, ...]:
        """`keys`, spelled out."""
        return self.keys or tuple(map(str, range(len(self.blobs))))

    @property
    def has_gap(self) -> bool:
        """Whether an index before the last one is not stored."""
        return self.keys_are_indices and self.blob_keys != tuple(map(str, range(len(self.blobs))))

    @property
    def keys_are_indices(self) -> bool:
        """Whether blobs are known by place, not by name."""
        return all(map(is_index, self.keys))


@dataclass(frozen=True, slots=True, eq=False)
class Weights(Mapping[str, list[Floats]]):
    """The weights of one file: a mapping of each layer that has blobs to its list of float32 arrays.

    Of two layers with one name the later counts, as in Caffe. Arrays may be read-only views on the
    memory-mapped file, not aligned: copy them to change them.

    Attributes:
        path: the file, for messages.
        format: "caffemodel", "hdf5" or "safetensors".
        layers: all layers of the file in its order, those without blobs too.
        net_name: the net's name in the file.
    """

    path: str
    format: str
    layers: tuple[LayerWeights, ...]
    net_name: str = ""
    _by_name: dict[str, LayerWeights] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ordered = sorted(self.layers, key=lambda layer: bool(layer.blobs))  # stable: those with blobs win
        object.__setattr__(self, "_by_name", {layer.name: layer for layer in ordered})

    def __getitem__(self, name: str) -> list[Floats]:
        blobs = self._by_name[name].blobs
        if not blobs:
            raise KeyError(name)
        return list(blobs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(layer.name for layer in self.layers if layer.blobs))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def layer(self, name: str) -> LayerWeights | None:
        """The layer of that name, None when the file has none."""
        return self._by_name.get(name)

    @property
    def types(self) -> dict[str, str]:
        """Each layer's type, by name."""
        return {layer.name: layer.type for layer in self.layers}

    @property
    def repeated(self) -> tuple[str, ...]:
        """Names that more than one layer with blobs has."""
        counts = Counter(layer.name for layer in self.layers if layer.blobs)
        return tuple(name for name, count in counts.items() if count > 1)


def is_index(key: str) -> bool:
    """Whether a blob's key is its place, like "0"."""
    return key.isascii() and key.isdigit()
