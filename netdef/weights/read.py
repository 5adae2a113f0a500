"""What kind of weight file is this, going by its content, and what is in it?"""

from __future__ import annotations

import os
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path

from netdef.diagnostics import NetdefError
from netdef.files import PathLike
from netdef.schema.weights_pb2 import BlobProto, NetParameter, SolverState
from netdef.weights import caffemodel, hdf5, keys, tensors
from netdef.weights.faults import Damaged, reported, wrong
from netdef.weights.model import Weights
from netdef.weights.narrow import Floats
from netdef.weights.wire import BYTES, FIXED32, FIXED64, VARINT, Wire

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"

WEIGHTS, STATE, RUN_STATE, BLOB = "weights", "solver state", "run state", "single blob"
_WHAT_FOR = {
    WEIGHTS: "these are a net's weights: give them as --weights",
    STATE: "this is Caffe's solver state: give it as --snapshot; the weights are beside it",
    RUN_STATE: "this is what netdef keeps beside a solver state; the weights are in another file",
    BLOB: "this is a single array, a mean image as a rule: give it as transform_param { mean_file }",
}

# Fields (number, wire type) that tell the messages apart; the first set that is all there decides.
_ITER = (SolverState.ITER_FIELD_NUMBER, VARINT)
_MARKS: tuple[tuple[set[tuple[int, int]], str], ...] = (
    ({_ITER, (SolverState.LEARNED_NET_FIELD_NUMBER, BYTES)}, STATE),
    ({_ITER, (SolverState.HISTORY_FIELD_NUMBER, BYTES)}, STATE),
    ({(NetParameter.NAME_FIELD_NUMBER, BYTES)}, WEIGHTS),
    ({(NetParameter.LAYERS_FIELD_NUMBER, BYTES)}, WEIGHTS),
    ({(NetParameter.LAYER_FIELD_NUMBER, BYTES)}, WEIGHTS),
    ({(BlobProto.DATA_FIELD_NUMBER, BYTES)}, BLOB),
    ({(BlobProto.DATA_FIELD_NUMBER, FIXED32)}, BLOB),
    ({(BlobProto.DOUBLE_DATA_FIELD_NUMBER, BYTES)}, BLOB),
    ({(BlobProto.DOUBLE_DATA_FIELD_NUMBER, FIXED64)}, BLOB),
)

_NEEDLESS = (
    (b"PK\x03\x04", "a zip archive, or a torch checkpoint: that is a pickle, which could run code when read"),
    (b"\x80\x02", "a pickle, which could run code when it is read"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched (`git lfs pull`)"),
    (b"<", "a web page, not the file that it leads to"),
    (b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (b"\x93NUMPY", "a numpy array"),
)


def read_weights(path: PathLike) -> Weights:
    """The weights in the file at `path`: a .caffemodel, Caffe's HDF5 or .safetensors, told apart by content.

    A .caffemodel and a .safetensors are memory-mapped: single precision arrays are read-only views on the
    file.
    Errors: ND0601 (the system refuses), ND0602 (unknown content), ND0603-ND0606 (damaged), ND0607 (another
    kind of file), ND0608 (too large unpacked), ND0609 (no float32).
    """
    name = os.fspath(path)
    with reported(name):
        data = mapped(name)
        expect(name, data, WEIGHTS)
        if is_hdf5(data):
            return hdf5.read(name, data)
        if tensors.looks_like(data):
            return keys.read(name, tensors.read(data))
        return caffemodel.read(name, Wire(data))


def read_blob(path: PathLike) -> Floats:
    """The array in a .binaryproto (a mean image: 1xCxHxW). Errors: as read_weights."""
    name = os.fspath(path)
    with reported(name):
        data = mapped(name)
        expect(name, data, BLOB)
        return caffemodel.read_mean(Wire(data))


def kind_of(path: PathLike) -> str:
    """What the file at `path` is: WEIGHTS, STATE, RUN_STATE or BLOB."""
    name = os.fspath(path)
    with reported(name):
        return _kind(name, mapped(name))


def mapped(path: str) -> mmap:
    """The bytes of the file at `path`, memory-mapped; an empty file is Damaged."""
    with Path(path).open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise Damaged("the file is empty", code="ND0602")
        return mmap(stream.fileno(), 0, access=ACCESS_READ)


def is_hdf5(data: mmap) -> bool:
    """Whether `data` begins as HDF5 does (Caffe never puts a user block in front)."""
    return data[:8] == _HDF5_MAGIC


def expect(path: str, data: mmap, kind: str) -> None:
    """Raise ND0607 unless `data` is of `kind`."""
    found = _kind(path, data)
    if found != kind:
        raise wrong("ND0607", path, f"{_article(found)} where {_article(kind)} should be", _WHAT_FOR[found])


def _article(kind: str) -> str:
    return kind if kind == WEIGHTS else f"a {kind}"


def _kind(path: str, data: mmap) -> str:
    if is_hdf5(data):
        return _hdf5_kind(path, data)
    if tensors.looks_like(data):
        return RUN_STATE if tensors.metadata(data).get(keys.KIND) == RUN_STATE else WEIGHTS
    kind = None if _is_text(data) else _message_kind(Wire(data))
    if kind is None:
        raise _unknown(path, data)
    return kind


def _hdf5_kind(path: str, data: mmap) -> str:
    with hdf5.opened(path, data) as reader:
        names = set(reader.root)
    if "data" in names:
        return WEIGHTS
    if names & {"iter", "history"}:
        return STATE
    raise Damaged("an HDF5 file with neither /data (weights) nor /iter (a solver state)", code="ND0605")


def _message_kind(wire: Wire) -> str | None:
    """Which message has these top fields? None has a mark of its own, but their fields' kinds differ.

    Goes by the fields before the first damage, of which the reading proper can say more.
    """
    found: set[tuple[int, int]] = set()
    with suppress(Damaged):
        for field in wire.fields(0, len(wire.data)):
            found.add((field.number, field.kind))
    return next((kind for marks, kind in _MARKS if marks <= found), None)


def _is_text(data: mmap) -> bool:
    """Whether it begins as a text does.

    A message of weights has tags and sizes that are no letters; a text may begin like one, for a line break is the tag
    of a net's name.
    """
    return all(byte >= 0x20 or byte in b"\t\r\n" for byte in data[:4096])


def _unknown(path: str, data: mmap) -> NetdefError:
    """Says of content that is no weights what it is, if it is well known."""
    head = data[:4096]
    for magic, what in _NEEDLESS:
        if head.lstrip().startswith(magic):
            return wrong("ND0602", path, f"no weights, but {what}")
    if _is_text(data):
        help = "a .prototxt describes the net; its weights are another file"
        return wrong("ND0602", path, "no weights, but a text", help)
    return wrong("ND0602", path, "neither .caffemodel, HDF5, .safetensors, .solverstate nor .binaryproto")
