"""What does a net compute of images: its blobs, or their most likely classes?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netdef.data.batch import Floats
from netdef.data.faults import BadData
from netdef.deploy.pictures import Preparation, read_ahead
from netdef.deploy.runner import Runner
from netdef.diagnostics import NetdefError, RunError, error

Array = NDArray[Any]
Row = dict[str, Array]
"""What a net computes of one image, by the blob's name."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A class, its label (empty where none is known), and the net's score for it."""

    index: int
    label: str
    score: float


def rows(
    runner: Runner, preparation: Preparation, paths: Iterable[Path], *, batch: int = 32
) -> Iterator[tuple[Path, Row | BadData]]:
    """Each image in order with the net's outputs for it (without the batch axis), the mean of its crops.

    What is no image comes with what is wrong with it, and the others go on. Files are read while the net computes.
    RunError: the back end cannot run the net.
    """
    pending: list[tuple[Path, Floats | BadData]] = []
    images = 0
    for path, found in read_ahead(paths, preparation, ahead=2 * batch):
        pending.append((path, found))
        images += not isinstance(found, BadData)
        if images == batch:
            yield from _flush(runner, pending)
            pending, images = [], 0
    yield from _flush(runner, pending)


def _flush(runner: Runner, pending: Sequence[tuple[Path, Floats | BadData]]) -> Iterator[tuple[Path, Row | BadData]]:
    """Images of one size at a time, where they may have several."""
    sizes: dict[tuple[int, ...], list[int]] = {}
    for index, (_, found) in enumerate(pending):
        if not isinstance(found, BadData):
            sizes.setdefault(found.shape, []).append(index)
    done: dict[int, Row | BadData] = {}
    for indices in sizes.values():
        done.update(zip(indices, _rows(runner, [pending[index] for index in indices]), strict=True))
    for index, (path, found) in enumerate(pending):
        yield path, found if isinstance(found, BadData) else done[index]


def _rows(runner: Runner, alike: Sequence[tuple[Path, Any]]) -> Iterator[Row | BadData]:
    """What the net computes of images of one size, the mean of each one's crops."""
    given = [rows for _, rows in alike]
    crops = len(given[0])
    try:
        outputs = runner.run(given[0] if len(given) == 1 else np.concatenate(given))
    except RunError as refusal:
        if None not in runner.sizes:
            raise
        why = refusal.diagnostics[0].message
        size = "x".join(map(str, given[0].shape[2:]))
        yield from (BadData("ND0960", f"{path}: the net does not take an image of {size}: {why}") for path, _ in alike)
        return
    for start in range(0, len(alike) * crops, crops):
        yield {name: _mean(value[start : start + crops]) for name, value in outputs.items()}


def _mean(values: Array) -> Array:
    return np.asarray(values[0] if len(values) == 1 else values.mean(axis=0))


def best(scores: Array, labels: Sequence[str], top: int) -> tuple[Guess, ...]:
    """The classes with the highest scores, best first; of equal ones the first.

    NetdefError: ND0954 there is not one score for each class, ND0956 there are not as many labels as classes, ND0959 a
    score is NaN.
    """
    flat = scores.reshape(-1)
    if flat.size != max(scores.shape, default=1):
        shape = "x".join(map(str, scores.shape))
        help = "choose another one with --blob, or write it to a file with `netdef features`"
        raise NetdefError([error("ND0954", f"the net gives {shape} for an image: no scores of classes", help=help)])
    if labels and len(labels) != flat.size:
        raise NetdefError([error("ND0956", f"{len(labels):,} labels for {flat.size:,} classes")])
    if np.isnan(flat).any():
        help = "look for NaN with `netdef weights show`; without --weights the statistics of BatchNorm are zero"
        raise NetdefError([error("ND0959", "the net's scores are NaN: its weights are broken", help=help)])
    order = np.argsort(-flat, kind="stable")[:top]
    return tuple(Guess(int(i), labels[i] if labels else "", float(flat[i])) for i in order)


def scores_of(runner: Runner) -> str:
    """The output that holds the scores: the only one, or `prob`; NetdefError ND0954 where neither is."""
    if len(runner.outputs) == 1 or "prob" in runner.outputs:
        return "prob" if "prob" in runner.outputs else runner.outputs[0]
    names = ", ".join(f'"{name}"' for name in runner.outputs)
    raise NetdefError([error("ND0954", f"the net has several outputs: {names}", help="choose one with --blob")])


def read_labels(path: Path) -> tuple[str, ...]:
    """The lines of a file, one for each class from 0 on; empty lines at the end do not count. NetdefError ND0956."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as fault:
        raise NetdefError([error("ND0956", f"{path}: cannot read the labels: {fault.strerror}")]) from fault
    except UnicodeDecodeError as fault:
        raise NetdefError([error("ND0956", f"{path}: no text: byte {fault.start:,} is no UTF-8")]) from fault
    return tuple(line.strip() for line in text.rstrip().splitlines())
