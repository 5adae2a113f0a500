"""What does training need beside the weights to go on, in Caffe's own files?

A .solverstate is a SolverState message, a .solverstate.h5 has datasets `iter`, `learned_net`,
`current_step` and `history/0`, `history/1`, … (Caffe: SGDSolver::SnapshotSolverStateToHDF5,
src/caffe/solvers/sgd_solver.cpp).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap

import h5py  # type: ignore[import-untyped]
import numpy as np

from netdef.files import PathLike, replacing
from netdef.schema.weights_pb2 import SolverState
from netdef.weights import blob, hdf5
from netdef.weights.faults import Damaged, inside, reported
from netdef.weights.narrow import Floats
from netdef.weights.read import STATE, expect, is_hdf5, mapped
from netdef.weights.wire import VARINT, Field, Wire, header

_MAX_ITER = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class SolverStateFile:
    """A solver's state.

    Attributes:
        iter: number of updates made.
        learned_net: path of the weights written at the same moment, as Caffe wrote it (often relative).
        current_step: rate steps taken by the `multistep` policy.
        history: the update rule's memory of all learnable parameters in the net's order; Adam and AdaDelta
        have all first moments, then all second ones.
    """

    iter: int
    learned_net: str
    current_step: int
    history: tuple[Floats, ...]


def read_solverstate(path: PathLike) -> SolverStateFile:
    """The state in the file at `path`, in either format, told apart by content.

    Errors: as `read_weights`, and ND0615 where a part lacks.
    """
    name = os.fspath(path)
    with reported(name):
        data = mapped(name)
        expect(name, data, STATE)
        return _read_hdf5(name, data) if is_hdf5(data) else _read_message(data)


def write_solverstate(path: PathLike, state: SolverStateFile, *, as_hdf5: bool = False) -> None:
    """Write `state` as Caffe does, whole or not at all. Errors: ND0601 where the system refuses."""
    with reported(path), replacing(path) as stream:
        if as_hdf5:
            with h5py.File(stream, "w") as root:
                _fill(root, state)
            return
        head = SolverState(iter=state.iter, learned_net=state.learned_net)
        stream.write(head.SerializeToString())
        for data in state.history:
            pieces = blob.encode(data)
            stream.write(header(SolverState.HISTORY_FIELD_NUMBER, blob.size_bytes(pieces)))
            stream.writelines(pieces)
        stream.write(SolverState(current_step=state.current_step).SerializeToString())


def _read_message(data: mmap) -> SolverStateFile:
    wire = Wire(data)
    numbers: dict[int, int] = {}
    learned_net = ""
    history: list[Floats] = []
    for field in wire.fields(0, len(data)):
        if field.number in (SolverState.ITER_FIELD_NUMBER, SolverState.CURRENT_STEP_FIELD_NUMBER):
            numbers[field.number] = _count(field)
        elif field.number == SolverState.LEARNED_NET_FIELD_NUMBER:
            learned_net = wire.text(field)
        elif field.number == SolverState.HISTORY_FIELD_NUMBER:
            with inside(f"history {len(history)}"):
                history.append(blob.decode(wire, wire.message(field), field.start).data)
    iteration = numbers.get(SolverState.ITER_FIELD_NUMBER, 0)
    step = numbers.get(SolverState.CURRENT_STEP_FIELD_NUMBER, 0)
    return SolverStateFile(iteration, learned_net, step, tuple(history))


def _count(field: Field) -> int:
    if field.kind != VARINT or field.value > _MAX_ITER:
        raise Damaged("the iteration or step is no count", offset=field.start)
    return field.value


def _read_hdf5(path: str, data: mmap) -> SolverStateFile:
    with hdf5.opened(path, data) as reader:
        root, names = reader.root, set(reader.root)
        lacking = [name for name in ("iter", "current_step", "history") if name not in names]
        if lacking:
            raise Damaged(f"the state lacks {', '.join(lacking)}", code="ND0615")
        group = reader.open(root, "history")
        if not isinstance(group, h5py.Group):
            raise Damaged("/history is not a group", code="ND0605")
        history = tuple(_history(reader, group))
        learned_net = _text(reader, "learned_net") if "learned_net" in names else ""
        step = _integer(reader, "current_step")
        return SolverStateFile(_integer(reader, "iter"), learned_net, step, history)


def _history(reader: hdf5.Reader, group: h5py.Group) -> Sequence[Floats]:
    names = hdf5.numbered(group)
    if names != [str(i) for i in range(len(names))]:
        raise Damaged(f"the history has a gap: {', '.join(names)}", code="ND0615")
    found: list[Floats] = []
    for name in names:
        with inside(f"history {name}"):
            found.append(reader.floats(_dataset(reader.open(group, name))))
    return found


def _dataset(node: object) -> h5py.Dataset:
    if not isinstance(node, h5py.Dataset):
        raise Damaged("a group where numbers should be", code="ND0605")
    return node


def _integer(reader: hdf5.Reader, name: str) -> int:
    with inside(f"/{name}"):
        dataset = _dataset(reader.open(reader.root, name))
        if dataset.size != 1 or dataset.dtype.kind not in "iu":
            raise Damaged("not a single integer", code="ND0605")
        value = int(dataset[()].item())
        if not 0 <= value <= _MAX_ITER:
            raise Damaged(f"{value} is no count", code="ND0605")
        return value


def _text(reader: hdf5.Reader, name: str) -> str:
    with inside(f"/{name}"):
        dataset = _dataset(reader.open(reader.root, name))
        if dataset.shape != () or dataset.dtype.kind != "S" or dataset.dtype.itemsize > 1 << 16:
            raise Damaged("not a text", code="ND0605")
        return bytes(dataset[()]).decode("utf-8", "backslashreplace")


def _fill(root: h5py.File, state: SolverStateFile) -> None:
    root["iter"] = np.array([state.iter], "<i4")
    path = state.learned_net.encode()
    # Caffe reads it as a C string: one byte more for the final zero.
    root["learned_net"] = np.array(path, f"S{len(path) + 1}")
    root["current_step"] = np.array([state.current_step], "<i4")
    history = root.create_group("history")
    for index, data in enumerate(state.history):
        history[str(index)] = np.asarray(data, "<f4")
