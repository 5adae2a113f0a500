"""How does a run get to the disk and back?

A snapshot at iteration N is three files: `<prefix>_iter_N.caffemodel` and `.solverstate` (or `.caffemodel.h5` and
`.solverstate.h5`), which Caffe reads too, and `.runstate` (safetensors): random generators, data positions and the
losses of the averaging window, which make a resumed run equal to one that never stopped. With `ema_decay` there is a
fourth, `_iter_N_ema.caffemodel`, the averages of the weights. The solver state takes its place last: where it is, the
others are, all of one moment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from netdef.diagnostics import NetdefError, error
from netdef.files import sync_folder
from netdef.weights import (
    Floats,
    LayerWeights,
    SolverStateFile,
    write_caffemodel,
    write_hdf5,
    write_run_state,
    write_solverstate,
)

Format = Literal["HDF5", "BINARYPROTO"]

DAMAGED = frozenset((*(f"ND060{digit}" for digit in range(1, 10)), "ND0615"))
"""What is wrong with files that cannot be read, or are no snapshot; not with those that belong to another run."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one snapshot's files are."""

    weights: Path
    state: Path
    run: Path
    averages: Path

    @classmethod
    def of(cls, prefix: str, iteration: int, format: Format = "BINARYPROTO") -> Place:
        """The files of the snapshot at `iteration`."""
        stem, end = f"{prefix}_iter_{iteration}", ".h5" if format == "HDF5" else ""
        return cls(
            Path(f"{stem}.caffemodel{end}"),
            Path(f"{stem}.solverstate{end}"),
            Path(f"{stem}.runstate"),
            Path(f"{stem}_ema.caffemodel{end}"),
        )

    @property
    def states(self) -> tuple[Path, ...]:
        """The solver states that these files may belong to: both formats have the same run state."""
        return self.run.with_suffix(".solverstate"), self.run.with_suffix(".solverstate.h5")

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a snapshot may have, in the order in which they take their places."""
        return self.weights, self.averages, self.run, self.state

    def remove(self) -> None:
        """Delete the snapshot; the solver state goes first, so that what is left is not taken for one."""
        for path in reversed(self.files):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Content:
    """What a snapshot holds; `layers` makes its arrays one by one, `averages` lends those of the averaged weights."""

    net_name: str
    layers: Iterable[LayerWeights]
    iteration: int
    current_step: int
    history: tuple[Floats, ...]
    arrays: Mapping[str, Any]
    values: Mapping[str, Any]
    averages: AbstractContextManager[Iterable[LayerWeights]] | None = None


def write(place: Place, content: Content) -> None:
    """Write a snapshot: all files under other names first, then each in its place, the solver state last.

    A snapshot of this iteration that is there already (of an earlier run, say) first loses its solver state, so that a
    kill in between leaves none of this iteration, rather than files of two that pass for one.

    Raises:
        NetdefError, OSError: the system refuses; what was there before is untouched.
    """
    files = [path for path in place.files if content.averages or path != place.averages]
    staged = {path: path.with_name(f".{path.name}.new") for path in files}
    as_hdf5 = place.state.suffix == ".h5"
    try:
        write_weights(staged[place.weights], content.net_name, content.layers, as_hdf5=as_hdf5)
        if content.averages:
            with content.averages as layers:
                write_weights(staged[place.averages], content.net_name, layers, as_hdf5=as_hdf5)
        write_run_state(staged[place.run], content.arrays, content.values)
        state = SolverStateFile(content.iteration, str(place.weights), content.current_step, content.history)
        write_solverstate(staged[place.state], state, as_hdf5=as_hdf5)
        _withdraw(place, files)
        for path, temporary in staged.items():
            temporary.replace(path)
        sync_folder(place.state.parent)
    except BaseException:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
        raise


def _withdraw(place: Place, files: Sequence[Path]) -> None:
    """Let what is at the place be no snapshot any more, nor leave anything there that the new one does not replace."""
    old = [path for path in dict.fromkeys((*place.states, *place.files)) if path.exists()]
    for path in old:
        if path in place.states or path not in files:
            path.unlink()
    if old:  # the system may write a deletion to the disk after a later rename
        sync_folder(place.state.parent)


def write_weights(path: Path, net_name: str, layers: Iterable[LayerWeights], *, as_hdf5: bool) -> None:
    """Write the weights of a net, whole or not at all.

    Raises:
        NetdefError, OSError: the system refuses.
    """
    if as_hdf5:
        write_hdf5(path, layers)
    else:
        write_caffemodel(path, net_name, layers)


def best_path(prefix: str, format: Format) -> Path:
    """Where the weights are kept that did best in the tests."""
    return Path(f"{prefix}_best.caffemodel{'.h5' if format == 'HDF5' else ''}")


def prepare(prefix: str) -> None:
    """Make the folder of the snapshots and see that it can be written to, before hours of work depend on it.

    Raises:
        NetdefError: ND0803, it cannot.
    """
    folder = Path(prefix).parent
    probe = Path(f"{prefix}_iter_0.probe.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as fault:
        message = f"snapshots cannot be written to {folder}/: {fault.strerror}"
        raise NetdefError([error("ND0803", message, help="change `snapshot_prefix`")]) from fault


def clear(prefix: str) -> None:
    """Delete what a killed run left of a snapshot that it was writing; no other run may be writing there."""
    name = re.escape(Path(prefix).name)
    left = re.compile(rf"\.{{1,2}}{name}_(iter_\d+|best)\.?.*\.(new|tmp)")
    folder = Path(prefix).parent
    for path in folder.iterdir() if folder.is_dir() else ():
        if left.fullmatch(path.name):
            with suppress(OSError):  # it is in nobody's way
                path.unlink()


def existing(prefix: str) -> Iterator[tuple[int, Place]]:
    """The whole snapshots with this prefix and their iterations, the newest first."""
    pattern = re.compile(re.escape(Path(prefix).name) + r"_iter_(\d+)\.solverstate(\.h5)?")
    folder = Path(prefix).parent
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found = [match for name in names if (match := pattern.fullmatch(name))]
    for match in sorted(found, key=lambda match: int(match[1]), reverse=True):
        place = Place.of(prefix, int(match[1]), "HDF5" if match[2] else "BINARYPROTO")
        if place.weights.exists():
            yield int(match[1]), place


def prune(prefix: str, keep: int, iteration: int) -> None:
    """Delete all but the `keep` newest snapshots up to `iteration`; 0 keeps all."""
    old = [place for number, place in existing(prefix) if number <= iteration]
    for place in old[keep:] if keep else ():
        place.remove()


def run_state_path(state: Path) -> Path:
    """The run state that belongs to a solver state."""
    return state.with_name(re.sub(r"\.solverstate(\.h5)?$", "", state.name) + ".runstate")


def averages_path(state: Path) -> Path:
    """The averaged weights that belong to a solver state."""
    stem, found, end = state.name.rpartition(".solverstate")
    return state.with_name(f"{stem}_ema.caffemodel{end}" if found else f"{state.name}_ema")


def learned_net(state: Path, written: str) -> Path:
    """The weights that a solver state names: where it says, else beside it (a folder may have moved).

    Raises:
        NetdefError: ND0601, they are in neither place.
    """
    beside = state.parent / Path(written.replace("\\", "/")).name
    for path in (beside, Path(written)):
        if written and path.is_file():
            return path
    help = "the .caffemodel of the same iteration must lie beside the solver state"
    raise NetdefError([error("ND0601", f'{state}: its weights "{written}" are not there', help=help)])
