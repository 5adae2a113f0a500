"""How does a data layer become a source of batches that can be stopped and taken up again?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from zlib import crc32

from numpy.typing import ArrayLike

from netdef.data.batch import Floats, Images, Top
from netdef.data.dummy import DummyReader
from netdef.data.faults import BadData, reported
from netdef.data.memory import MemoryReader
from netdef.data.reader import Labels, Reader, Shard, Ticket, Turns, Work
from netdef.ir import Phase, Places
from netdef.layers.base import Layer
from netdef.layers.data import Data, DummyData, HDF5Data, ImageData, MemoryData, WindowData

State = dict[str, int]
"""Where a source stands: all that an exact resume needs, in whole numbers (JSON)."""


class BatchSource:
    """Batches of one data layer, one after the other without end.

    Attributes:
        name: the layer's.
        batch_size: rows of a global batch; this rank makes its `shard` of them.
        epoch_size: rows in one round over the data.
        readable_ahead: whether a Loader may prefetch it.
    """

    readable_ahead = True
    turns = Turns()
    """Which of the batches are this process's, where whole batches are shared out; set before the first."""
    settles = True
    """Whether parts of a mean picture are subtracted here, in a reading thread; set before the first batch."""

    def __init__(self, reader: Reader, *, name: str, seed: int, shard: Shard, places: Places) -> None:
        self.name, self.shard = name, shard
        self._reader, self._places = reader, places
        self._seed = (seed % 2**64) * 2**32 + crc32(name.encode())  # two layers of one run draw differently
        self._number = 0

    @property
    def batch_size(self) -> int:
        """Rows of a global batch."""
        return self._reader.batch_size

    @property
    def epoch_size(self) -> int:
        """Rows in one round over the data."""
        return self._reader.epoch_size

    def next_raw(self) -> tuple[Top, ...]:
        """The next batch, one item for each top, images with their arithmetic still to be done."""
        work = self.fetch(self._number)
        self._number += 1
        return work()

    def next_batch(self) -> tuple[Floats, ...]:
        """The next batch as float32 arrays, one for each top."""
        return finished(self.next_raw())

    def fetch(self, number: int) -> Work:
        """What makes batch `number`, counted from 0: for the Loader. One thread at a time may call this."""
        with reported(self.name, self._places):
            work = self._reader.fetch(Ticket(self.turns.number(number), self._seed, self.shard))
        return partial(self._run, work)

    def state(self) -> State:
        """Where the source stands: before the next batch."""
        return {"batch": self._number, "seed": self._seed}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on exactly where `state` was taken."""
        with reported(self.name, self._places):
            self._number, self._seed = _whole(state, "batch"), _whole(state, "seed")

    def close(self) -> None:
        """Let files go."""
        self._reader.close()

    def _run(self, work: Work) -> tuple[Top, ...]:
        with reported(self.name, self._places):
            return tuple(top.settled() if self.settles and isinstance(top, Images) else top for top in work())


class MemorySource(BatchSource):
    """The source of a MemoryData layer: a program hands its arrays over."""

    readable_ahead = False

    def __init__(self, reader: MemoryReader, *, name: str, seed: int, shard: Shard, places: Places) -> None:
        super().__init__(reader, name=name, seed=seed, shard=shard, places=places)
        self._memory = reader

    def reset(self, images: ArrayLike, labels: ArrayLike) -> None:
        """Start anew with images (n, C, H, W) and n labels; n is a multiple of the batch size."""
        with reported(self.name, self._places):
            self._memory.reset(images, labels)
        self._number = 0


def open_source(
    layer: Layer,
    *,
    phase: Phase,
    base_dir: Path | None = None,
    seed: int = 0,
    shard: Shard = Shard(),  # noqa: B008 - frozen
    labels: Labels = Labels(),  # noqa: B008 - frozen
    name: str = "",
    places: Places = Places(),  # noqa: B008 - frozen
) -> BatchSource:
    """Open what a data layer reads.

    Files are looked for in the working folder, then in `base_dir` (that of the prototxt). `labels` says which labels
    the net can take; `name` and `places` are the layer's, for errors. Raises NetdefError with codes ND05xx.
    """
    with reported(name, places):
        if isinstance(layer, MemoryData):
            return MemorySource(MemoryReader(layer, labels), name=name, seed=seed, shard=shard, places=places)
        reader = _reader(layer, phase, base_dir, labels)
        if reader.batch_size < shard.world:
            message = f"`batch_size: {reader.batch_size}` cannot be shared out to {shard.world} processes"
            raise BadData("ND0507", message, field="batch_size")
        return BatchSource(reader, name=name, seed=seed, shard=shard, places=places)


def finished(tops: tuple[Top, ...]) -> tuple[Floats, ...]:
    """All tops with their arithmetic done."""
    return tuple(top.finish() if isinstance(top, Images) else top for top in tops)


def _reader(layer: Layer, phase: Phase, base_dir: Path | None, labels: Labels) -> Reader:
    """Each kind brings its library along only when it is used."""
    if isinstance(layer, Data):
        from netdef.data.records_reader import RecordsReader

        return RecordsReader.open(layer, phase, base_dir, labels)
    if isinstance(layer, ImageData):
        from netdef.data.image_list import ImageListReader

        return ImageListReader.open(layer, phase, base_dir, labels)
    if isinstance(layer, HDF5Data):
        from netdef.data.hdf5 import Hdf5Reader

        return Hdf5Reader.open(layer, base_dir)
    if isinstance(layer, WindowData):
        from netdef.data.windows import WindowReader

        return WindowReader.open(layer, phase, base_dir, labels)
    if isinstance(layer, DummyData):
        return DummyReader(layer)
    help = "use Data, ImageData or HDF5Data"
    raise BadData("ND0560", f"a {layer.type} layer has no source that netdef reads", help=help)


def _whole(state: Mapping[str, int], key: str) -> int:
    value = state.get(key)
    if not isinstance(value, int) or value < 0:
        raise BadData("ND0590", f'the saved position has no whole number "{key}": {value!r}')
    return value
