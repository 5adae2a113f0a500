"""Do batches that are sent ahead come in order, with the position of those handed out?"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from netdef.data.batch import Top
from netdef.data.device import finish
from netdef.data.loader import Loader
from netdef.data.source import open_source
from netdef.diagnostics import NetdefError
from netdef.ir import Filler, Shape
from netdef.layers.data import DummyData
from netdef.solver.ahead import LEAD, Ahead, CopyStream, Standing
from tests.data.build import data_layer, make_lmdb, numbered


class Noting:
    """A way to the processor itself, which notes in which thread it was taken."""

    def __init__(self) -> None:
        self.senders: list[str] = []

    def send(self, tops: Sequence[Top]) -> list[torch.Tensor]:
        self.senders.append(threading.current_thread().name)
        return [finish(top) for top in tops]

    def receive(self, sent: list[torch.Tensor]) -> list[torch.Tensor]:
        return sent


def opened(folder: Path, records: list[Any], wrapped: bool = True) -> Any:
    folder.mkdir(exist_ok=True)
    source = open_source(data_layer(make_lmdb(folder / "db", records), 2), phase="TRAIN", name="d")
    return Loader(source) if wrapped else source


@pytest.mark.parametrize("wrapped", [True, False])
def test_batches_come_in_order(tmp_path: Path, wrapped: bool) -> None:
    plain = opened(tmp_path / "a", numbered(7), wrapped)
    way = Noting()
    ahead = Ahead(opened(tmp_path / "b", numbered(7), wrapped), way)
    for number in range(6):
        assert ahead.state()["batch"] == number
        for found, expected in zip(ahead.next(), plain.next_batch(), strict=True):
            torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=0)
    assert {name.rpartition("_")[0] for name in way.senders} == {"netdef-feed"}
    plain.close()
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("netdef-")]


def test_goes_on_where_it_stood(tmp_path: Path) -> None:
    ahead = Ahead(opened(tmp_path, numbered(7)), Noting())
    ahead.next()
    state = ahead.state()
    expected = [ahead.next() for _ in range(4)]
    ahead.restore(state)
    for found, wanted in zip((ahead.next() for _ in range(4)), expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    ahead.close()


def test_an_error_comes_with_its_batch_each_time(tmp_path: Path) -> None:
    ahead = Ahead(opened(tmp_path, [*numbered(4), b"junk"]), Noting())
    ahead.next()
    ahead.next()
    for _ in range(2):
        with pytest.raises(NetdefError):
            ahead.next()
    assert ahead.state()["batch"] == 2
    ahead.close()


def test_a_constant_is_sent_once() -> None:
    constant = Filler("constant", 0.5)
    layer = DummyData((Shape.of(2, 3),), (constant,))
    assert layer.is_constant
    sent: list[Top] = []
    standing = Standing(
        open_source(layer, phase="TRAIN"), lambda tops: sent.extend(tops) or [finish(top) for top in tops]
    )
    for number in range(3):
        assert standing.state()["batch"] == number
        (tensor,) = standing.next()
        assert torch.equal(tensor, torch.full((2, 3), 0.5))
    assert len(sent) == 1
    standing.restore({"batch": 7, "seed": 1})
    standing.next()
    assert standing.state() == {"batch": 8, "seed": 1}
    standing.close()


class Gpu:
    """What CopyStream asks of torch.cuda, noted in order: streams, and events named by their number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        numbers = count()

        class Event:
            def __init__(self, blocking: bool = False) -> None:
                self.number = next(numbers)

            def record(self, stream: object) -> None:
                log.append(f"record {self.number}")

            def synchronize(self) -> None:
                log.append(f"wait for {self.number}")

        class Stream:
            def __init__(self, device: torch.device) -> None:
                pass

            def record_event(self) -> None:
                log.append("sent")

            def wait_event(self, event: None) -> None:
                log.append("computed")

        log = self.log
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        monkeypatch.setattr(torch.cuda, "stream", nullcontext)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: log.append(f"on {device}"))


def test_the_processor_stays_near_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the fifth batch after it, it waits until the device has come to a batch; a thread knows its device."""
    gpu = Gpu(monkeypatch)
    copies = CopyStream(torch.device("cuda", 1), lambda tops: [])
    for _ in range(LEAD + 2):
        copies.receive(copies.send([]))
    waits = [entry for entry in gpu.log if entry.startswith("wait")]
    assert waits == ["wait for 0", "wait for 1"]
    assert gpu.log.index("wait for 0") == gpu.log.index(f"record {LEAD}") + 1
    assert gpu.log[:4] == ["on cuda:1", "sent", "record 0", "computed"]


@pytest.mark.gpu
def test_copies_of_a_gpu(tmp_path: Path) -> None:
    """The values of the processor to the last bit, while the stream that computes is kept busy."""
    device = torch.device("cuda", 0)
    plain = opened(tmp_path / "a", numbered(7, (3, 64, 64)))
    ahead = Ahead(
        opened(tmp_path / "b", numbered(7, (3, 64, 64))),
        CopyStream(device, lambda tops: [finish(top, device, pin=True) for top in tops]),
    )
    work = torch.ones(2048, 2048, device=device)
    sums = []
    for _ in range(8):
        tensors = ahead.next()
        for _ in range(4):
            work = work @ work / 2048
        sums.append([tensor * work[0, 0] for tensor in tensors])
    for found in sums:
        for tensor, expected in zip(found, plain.next_batch(), strict=True):
            torch.testing.assert_close(tensor.cpu(), torch.from_numpy(expected), rtol=0, atol=0)
    plain.close()
    ahead.close()
