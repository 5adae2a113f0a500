"""How does one command become several processes that train together, and end as one?"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import IO

import click

from netdef.cli.report import show
from netdef.cli.turn import PARENT
from netdef.diagnostics import error
from netdef.solver.team import LostProcess, Team, joined

LOST = 75
"""A worker's exit code where another one is gone: not its own fault, and not worth a message."""
GRACE_S = 15.0
"""How long the others may take to notice that one is gone."""


@dataclass(slots=True)
class Worker:
    """One process of a run; what all but the first say is kept until it is known whether anyone needs it."""

    rank: int
    process: subprocess.Popen[bytes]
    said: IO[bytes] | None


def launch(num_processes: int, arguments: Sequence[str]) -> int:
    """Run ``netdef ARGUMENTS`` in so many processes that train together; the exit code is that of the run."""
    port = _free_port()
    workers = [_start(rank, num_processes, port, arguments) for rank in range(num_processes)]
    try:
        with _forwarding(workers):
            failed = _wait(workers)
        return _conclude(workers, failed)
    finally:
        _end(workers)


@contextmanager
def in_team() -> Iterator[Team]:
    """Join the processes that were started together with this one, if there are any, for as long as the block lasts."""
    parent = int(os.environ.get(PARENT, 0))
    if parent:
        threading.Thread(target=_end_with, args=(parent,), name="netdef-parent", daemon=True).start()
    try:
        with joined() as team:
            yield team
    except LostProcess:
        if not parent:
            raise
        raise click.exceptions.Exit(LOST) from None  # `launch` says what happened


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, however that went."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(LOST)


def _start(rank: int, world: int, port: int, arguments: Sequence[str]) -> Worker:
    said = tempfile.TemporaryFile() if rank else None  # noqa: SIM115 - closed by _end
    environment = {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // world)),
        "TORCH_CPP_LOG_LEVEL": "FATAL",
        **({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}),
        **os.environ,
        **dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)),
        **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(world)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        PARENT: str(os.getpid()),
    }
    command = [sys.executable, "-m", "netdef", *arguments]
    out = subprocess.DEVNULL if rank else None
    # A session of its own: Ctrl-C reaches the parent alone, which passes it on.
    process = subprocess.Popen(command, env=environment, stdout=out, stderr=said, start_new_session=True)
    return Worker(rank, process, said)


def _wait(workers: Sequence[Worker]) -> list[Worker]:
    """Those that failed, in the order in which they were seen to.

    When one has ended, well or not, the rest get some time to notice, for none can do anything without it.
    """
    failed: list[Worker] = []
    deadline = float("inf")
    while any(worker.process.poll() is None for worker in workers) and time.monotonic() < deadline:
        _note(workers, failed)
        if deadline == float("inf") and any(worker.process.poll() is not None for worker in workers):
            deadline = time.monotonic() + GRACE_S
        time.sleep(0.05)
    _note(workers, failed)
    return failed


def _note(workers: Sequence[Worker], failed: list[Worker]) -> None:
    failed += [worker for worker in workers if worker.process.poll() and worker not in failed]


def _conclude(workers: Sequence[Worker], failed: Sequence[Worker]) -> int:
    """Say what happened, unless the process whose fault it was has said so."""
    own = [worker for worker in failed if worker.process.returncode != LOST]
    if not failed:
        return 0
    culprit = (own or list(failed))[0]
    code = culprit.process.returncode
    if code < 0 or code == LOST:
        message = f"process {culprit.rank} of {len(workers)} {_end_of(code)}: the run has ended"
        show([error("ND0810", message, help="`--resume auto` goes on from the last snapshot")])
        return 3
    if all(worker.rank for worker in own) and culprit.said is not None:
        culprit.said.seek(0)
        click.echo(culprit.said.read().decode(errors="replace"), err=True, nl=False)
    return int(code)


def _end_of(code: int) -> str:
    if code == LOST:
        return "lost touch with the others"
    return f"was ended by {signal.Signals(-code).name}"


def _end(workers: Sequence[Worker]) -> None:
    """Leave nobody behind."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.process.wait()
        if worker.said is not None:
            worker.said.close()


@contextmanager
def _forwarding(workers: Sequence[Worker]) -> Iterator[None]:
    """Pass signals on: to the first process, which tells the others; the second Ctrl-C ends all."""
    count = 0

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += number == signal.SIGINT
        if count < 2:
            workers[0].process.send_signal(number)
            return
        for worker in workers:
            worker.process.kill()

    numbers = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
