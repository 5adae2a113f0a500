"""Which processes train together, and how do they talk?"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from netdef.diagnostics import NetdefError, RunError, error
from netdef.ranks import local_rank, world_size

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others: a test or a snapshot may lie in between."""


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of one run. A team of one does without torch.distributed: its sums and means are what is there.

    Attributes:
        rank: which of them this is, from 0.
        world: how many they are.
        local_rank: which of those on this machine; the number of its GPU.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process is the one that speaks and writes."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all processes, in place."""
        return self.sum(tensor).div_(self.world) if self.world > 1 else tensor

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, in the order of their ranks; all of one shape."""
        if self.world == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(found, tensor)
        return found

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag whether it is set in any process."""
        if self.world == 1:
            return flags
        return tuple(bool(count) for count in self.sum(torch.tensor(flags, dtype=torch.int32)).tolist())

    def same(self, number: int) -> int:
        """The first process's number, for all."""
        if self.world == 1:
            return number
        held = torch.tensor([number], dtype=torch.int64)
        dist.broadcast(held, 0)
        return int(held.item())


ALONE = Team()


def current() -> Team:
    """The team that this process has joined; a team of one where it has not joined any."""
    if not (dist.is_available() and dist.is_initialized()):
        return ALONE
    return Team(dist.get_rank(), dist.get_world_size(), local_rank())


@contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that torchrun or `netdef train` has started with this one, for as long as the block lasts.

    An error in the block leaves the group as it is: an exchange may be under way that will never be completed, so that
    to close it would be to wait. The process has to end then.

    Raises:
        NetdefError: ND0720, the environment does not say who they are; ND0810, they cannot be reached.
        RunError: ND0810, one of them is lost in the block.
    """
    if world_size() < 2 or (dist.is_available() and dist.is_initialized()):
        yield current()
        return
    with reported():
        _meet()
    with reported():
        team = current()
        yield team
        team.same(0)  # so that nobody closes a connection that another still needs
    # What sends gradients goes first. Whoever lets go last waits for gloo's threads, which need Python's lock for their
    # last tensors: the group gives the lock away while it waits, DistributedDataParallel does not.
    gc.collect()
    dist.destroy_process_group()


def _meet() -> None:
    """Find the others by the store that the environment names.

    torchrun with a fixed master keeps its store when it starts the processes again: each start needs names of its own
    there, or a process would look for the others where those that are gone once were.
    """
    # Not in every build of torch.
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, rank, world = next(rendezvous("env://", timeout=TIMEOUT))
    own = PrefixStore(f"start{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    dist.init_process_group(_backend(), store=own, rank=rank, world_size=world, timeout=TIMEOUT)


def _backend() -> str:
    """Numbers on the processor travel by gloo, those on GPUs by NCCL."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"


@contextmanager
def reported() -> Iterator[None]:
    """Turn what torch.distributed raises in the block into a diagnostic."""
    try:
        yield
    except (dist.DistError, dist.DistNetworkError, ConnectionError) as fault:
        raise LostProcess(str(fault)) from fault
    except ValueError as fault:
        if "environment variable" not in str(fault):
            raise
        help = "torchrun sets them, or use `netdef train --processes N`"
        raise NetdefError([error("ND0720", f"the processes of the run are not known: {fault}", help=help)]) from fault
    except RuntimeError as fault:
        if not is_lost(fault):
            raise
        raise LostProcess(str(fault)) from fault


class LostProcess(RunError):
    """Another process of the run is gone. It, or whoever started it, says why."""

    exit_code = 75

    def __init__(self, why: str) -> None:
        first = why.strip().partition("\n")[0][:200]
        help = "its own message says why; `--resume auto` goes on from the last snapshot"
        super().__init__([error("ND0810", f"another process of the run is gone ({first})", help=help)])


def is_lost(fault: RuntimeError) -> bool:
    """Whether torch's error means that another process cannot be reached any more."""
    return any(word in str(fault) for word in _LOST)


_LOST: Sequence[str] = ("gloo", "Gloo", "NCCL", "ncclRemoteError", "Connection closed by peer", "Connection reset")
