"""How do batches get to a GPU while it computes with the ones before?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from netdef.data.batch import Top
from netdef.data.loader import Loader
from netdef.data.pipeline import Pipeline
from netdef.data.source import BatchSource, State

Finish = Callable[[Sequence[Top]], list[Tensor]]
"""Makes tensors on the device of a batch."""

DEPTH = 2
"""Batches on the device or on their way, beside the one that is computed with."""


LEAD = 4
"""Batches at most that have been handed out and the device has not computed with: each takes memory there."""


class Transfer(Protocol):
    """A way to the device, in two halves."""

    def send(self, tops: Sequence[Top]) -> Any:
        """Begin to bring a batch there; in the reading thread."""

    def receive(self, sent: Any) -> list[Tensor]:
        """The batch, to be used by what is computed from now on; in the computing thread."""


class CopyStream:
    """Copies of a GPU's own, beside the stream that it computes in.

    Bytes go through page-locked memory, and become numbers on the device (`finish`). Who receives them lets the device
    wait for them, not the processor; their memory is used again only when what was computed with them is done.
    So that it is, who is far ahead of the device waits here for it, which has enough to do all the while.
    """

    def __init__(self, device: torch.device, finish: Finish) -> None:
        self.device, self._finish = device, finish
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._begun: deque[torch.cuda.Event] = deque()

    def send(self, tops: Sequence[Top]) -> tuple[list[Tensor], torch.cuda.Event]:
        """See Transfer."""
        torch.cuda.set_device(self.device)  # a thread begins with the first GPU, and would take memory on it
        with torch.cuda.stream(self._stream):
            tensors = self._finish(tops)
            return tensors, self._stream.record_event()

    def receive(self, sent: tuple[list[Tensor], torch.cuda.Event]) -> list[Tensor]:
        """See Transfer."""
        tensors, event = sent
        stream = torch.cuda.current_stream(self.device)
        self._keep_near(stream)
        stream.wait_event(event)
        for tensor in tensors:
            tensor.record_stream(stream)
        return tensors

    def _keep_near(self, stream: torch.cuda.Stream) -> None:
        """Wait until the device is LEAD batches behind; asleep, for readers need the processor."""
        begins = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        begins.record(stream)
        self._begun.append(begins)
        if len(self._begun) > LEAD:
            self._begun.popleft().synchronize()


class Ahead:
    """A source whose next batches are sent ahead by a thread.

    Its position is that of the batches handed out. An error is raised where the batch in question is asked for.
    """

    def __init__(self, source: BatchSource | Loader, transfer: Transfer, depth: int = DEPTH) -> None:
        self._source, self._transfer = source, transfer
        self._batches = Pipeline(source, self._send, workers=1, depth=depth, thread_name="netdef-feed")

    @property
    def epoch_size(self) -> int:
        """Rows in one round over the data."""
        return self._source.epoch_size

    def next(self) -> list[Tensor]:
        """The next batch, one tensor for each top."""
        return self._transfer.receive(self._batches.take())

    def state(self) -> State:
        """Where the source stands after the last batch handed out."""
        return self._batches.state()

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on exactly where `state` was taken."""
        self._batches.restore(state)

    def close(self) -> None:
        """Stop the thread, let files go."""
        self._batches.close()

    def _send(self, number: int) -> Any:
        return self._transfer.send(self._source.next_raw())


class Standing:
    """A source whose batches are all the same: sent once, they stay there. No layer writes over what it reads."""

    def __init__(self, source: BatchSource, finish: Finish) -> None:
        self._source, self._finish = source, finish
        self._handed = source.state()["batch"]
        self._tensors: list[Tensor] | None = None

    @property
    def epoch_size(self) -> int:
        """Rows in one round over the data."""
        return self._source.epoch_size

    def next(self) -> list[Tensor]:
        """The batch, one tensor for each top."""
        if self._tensors is None:
            self._tensors = self._finish(self._source.next_raw())
        self._handed += 1
        return self._tensors

    def state(self) -> State:
        """Where the source stands after the last batch handed out."""
        return {**self._source.state(), "batch": self._handed}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on exactly where `state` was taken."""
        self._source.restore(state)
        self._handed = self._source.state()["batch"]

    def close(self) -> None:
        """Let files go."""
        self._source.close()
