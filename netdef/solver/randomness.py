"""How does a run keep its random numbers to itself?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netdef.solver.team import ALONE, Team


class Randomness:
    """The random state of one run.

    Layers such as Dropout draw from torch's own generators: `active` lends them this run's state, so that neither the
    caller nor another run in the same process disturbs it or is disturbed. Of a `team` each draws its own numbers, but
    for `fillers`, and for `seed`, of which the data's order follows.
    """

    def __init__(self, seed: int | None, device: torch.device, team: Team = ALONE) -> None:
        self.team = team
        self.seed = team.same(seed if seed is not None else int(np.random.SeedSequence().generate_state(1)[0]))
        self.device = device
        self.fillers = np.random.default_rng(self.seed)
        self._state = _seeded(self.seed + team.rank * _FAR, device)
        self._depth = 0

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this run's state inside the block, which may be entered again within itself."""
        self._depth += 1
        outside = states(self.device) if self._depth == 1 else None
        if outside:
            set_states(self._state, self.device)
        try:
            yield
        finally:
            self._depth -= 1
            if outside:
                self._state = states(self.device)
                set_states(outside, self.device)

    def arrays(self) -> dict[str, NDArray[np.uint8]]:
        """The state of every process, to be saved; inside an `active` block it is that of now."""
        state = states(self.device) if self._depth else self._state
        gathered = {name: self.team.gather(tensor) for name, tensor in state.items()}
        return {_name(name, rank): one.numpy() for name, all in gathered.items() for rank, one in enumerate(all)}

    def restore(self, arrays: dict[str, NDArray[np.uint8]]) -> None:
        """Go on from a saved state; of a generator that it lacks the state stays."""
        stored = {name: arrays.get(_name(name, self.team.rank)) for name in self._state}
        known = {name: torch.from_numpy(np.array(array)) for name, array in stored.items() if array is not None}
        self._state = {**self._state, **known}
        if self._depth:
            set_states(self._state, self.device)


_FAR = 1_000_003
"""Between the seeds of two processes, so that dropout differs among them."""


def _name(generator: str, rank: int) -> str:
    """What a generator's state is called in a run state: the first process's as in a run without others."""
    return f"rank{rank}.{generator}" if rank else generator


def _seeded(seed: int, device: torch.device) -> dict[str, Tensor]:
    generator = torch.Generator("cpu").manual_seed(seed)
    state = {"cpu": generator.get_state()}
    if device.type == "cuda":
        state["cuda"] = torch.Generator(device).manual_seed(seed).get_state()
    return state


def states(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's own generators: the processor's, and the device's."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_states(state: dict[str, Tensor], device: torch.device) -> None:
    """Let torch's own generators go on from a state."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
