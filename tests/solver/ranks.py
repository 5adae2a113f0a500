"""Train in so many processes, folder after folder, torch being imported once: ``python ranks.py COUNT FOLDER…``."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TextIO

import torch

from netdef.solver.events import Debugged, Event
from netdef.solver.loop import Solver
from netdef.solver.metrics import Metrics
from netdef.solver.team import joined
from netdef.targets.torch import tensors
from netdef.targets.torch.parts import own


def run(folder: Path) -> None:
    """One process's part, or all of it where it is alone."""
    torch.set_num_threads(1)
    with joined() as team, Solver(folder / "solver.prototxt") as solver:
        if not team.leads:
            solver.solve()
        else:
            with (
                closing(Metrics(folder / "out/metrics.jsonl", "snap", 0)) as metrics,
                (folder / "debug").open("w") as debug,
            ):
                solver.observers += (metrics, partial(note, debug))
                solver.solve()
        (folder / f"held_by_{team.rank}").write_text(str(held(solver)))


def note(debug: TextIO, event: Event) -> None:
    """Write down what `debug_info` tells."""
    if isinstance(event, Debugged):
        debug.writelines(f"{line}\n" for line in event.lines)


def held(solver: Solver) -> int:
    """Bytes that this process's weights and history take in memory."""
    weights = tensors(solver.net, solver.run.train.graph).values()
    history = [row for rows in solver.optimizer.state.values() for row in rows.values()]
    return sum(own(tensor).untyped_storage().nbytes() for tensor in (*weights, *history))


def attempt(folder: Path) -> int:
    """The exit code of a child, which must not go on as its parent."""
    try:
        run(folder)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    count, *folders = sys.argv[1:]
    for number, folder in enumerate(folders):
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(20000 + (os.getpid() * 7 + number) % 20000))
        os.environ.update(WORLD_SIZE=count, GLOO_SOCKET_IFNAME="lo")
        children = []
        for rank in range(int(count)):
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
            children.append(os.fork())
            if not children[-1]:
                os._exit(attempt(Path(folder)))
        for child in children:
            assert os.waitpid(child, 0)[1] == 0, f"a process failed in {folder}"


if __name__ == "__main__":
    main()
