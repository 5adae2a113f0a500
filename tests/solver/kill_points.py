"""Kill a run at given points, resume it each time, and tell whether it ends like one that never stopped.

    python tests/solver/kill_points.py FOLDER POINT…

A run passes points: one before each iteration, one at each file that it opens, renames or deletes beside its snapshots,
and one at each write that is forced to the disk. At its POINT-th one the process kills itself with SIGKILL; without a
POINT it only counts them. Each run is a fork of this process, so that torch is imported once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from netdef.solver import loop
from netdef.solver.snapshot import existing


class Points:
    """Counts what a run passes; kills the process at number `fatal`."""

    def __init__(self, folder: Path, fatal: int) -> None:
        self.folder, self.fatal, self.count = str(folder), fatal, 0

    def pass_one(self) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, args: tuple[object, ...]) -> None:
        if event in ("open", "os.rename", "os.remove") and self.folder in str(args[0]):
            self.pass_one()

    def install(self) -> None:
        sys.addaudithook(self.audit)
        for owner, name in ((loop.Solver, "_iterate"), (os, "fsync")):
            setattr(owner, name, self._before(getattr(owner, name)))

    def _before(self, call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            self.pass_one()
            return call(*args)

        return wrapped


def train(solver_file: Path, fatal: int) -> int:
    """In a fork: train to the end, or to the point; returns the count of points, -1 for a killed run."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        points = Points(solver_file.parent / "out", fatal)
        points.install()
        with loop.Solver(solver_file) as solver:
            newest = next(existing(solver.config.snapshot_prefix), None)
            if newest:
                solver.restore(newest[1].state)
            solver.solve()
        os.write(write, str(points.count).encode())
        os._exit(0)
    os.close(write)
    status = os.waitpid(child, 0)[1]
    count = os.read(read, 20)
    os.close(read)
    if os.WIFSIGNALED(status):
        return -1
    assert status == 0, f"the run ended with status {status}"
    return int(count)


def digest(out: Path) -> str:
    """What the last snapshot holds."""
    last = sorted(path for path in out.glob("snap_*") if "_iter_20" in path.name or "_best" in path.name)
    return hashlib.sha256(b"".join(path.read_bytes() for path in last)).hexdigest()


def main() -> None:
    folder, points = Path(sys.argv[1]), [int(text) for text in sys.argv[2:]]
    torch.set_num_threads(1)
    solver_file, out = folder / "solver.prototxt", folder / "out"
    total = train(solver_file, 0)
    whole = digest(out)
    sys.stdout.write(f"points {total}\n")
    for point in points:
        shutil.rmtree(out)
        out.mkdir()
        assert train(solver_file, point) == -1, f"point {point} was never passed"
        train(solver_file, 0)
        sys.stdout.write(f"{point} {'same' if digest(out) == whole else 'different'}\n")


if __name__ == "__main__":
    main()
