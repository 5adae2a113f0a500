"""How does an event read as lines of text? In Caffe's words, so that people and scripts that know its log know ours."""

from __future__ import annotations

from collections.abc import Iterator

from netdef.solver.events import (
    Best,
    Debugged,
    Displayed,
    Event,
    Output,
    Snapshotted,
    StoodStill,
    Tested,
    Testing,
    numbered,
)

MOST_VALUES = 20
"""Numbers of one display or test that are listed; a dangling blob may have thousands."""


def lines(event: Event) -> Iterator[str]:
    """The lines that tell of an event; none for a warning, which is a diagnostic."""
    match event:
        case Displayed():
            yield _displayed(event)
            if not _is_plain(event.outputs, event.loss):
                yield from _outputs("Train", event.outputs)
        case Testing():
            yield f"Iteration {event.iteration}, Testing net (#{event.net})"
        case Tested():
            if event.loss is not None:
                yield f"Test loss: {event.loss:.6g}"
            yield from _outputs("Test", event.outputs)
        case Snapshotted():
            yield f"Snapshotting to {event.weights}"
        case Best():
            yield f"Iteration {event.iteration}, best {event.output} = {event.value:.6g}, kept as {event.weights}"
        case StoodStill():
            yield _stood_still(event)
        case Debugged():
            yield from event.lines


def values(output: Output) -> float | list[float] | None:
    """An output for JSON: a number, a list of a few, or None for many."""
    if output.values.size > MOST_VALUES:
        return None
    flat = [float(value) for value in output.values.ravel()]
    return flat[0] if len(flat) == 1 else flat


def _displayed(event: Displayed) -> str:
    parts = [f"Iteration {event.iteration}", f"loss = {event.loss:.6g}"]
    parts += [f"lr = {event.rate:.6g}"] if event.rate is not None else []
    rate = event.images_per_s
    speed = f" ({f'{rate:,.0f}' if rate >= 100 else f'{rate:.3g}'} images/s)" if rate else ""
    return ", ".join(parts) + speed


def _stood_still(event: StoodStill) -> str:
    best = "never a number" if event.best is None else f"best {event.best:.6g} at iteration {event.at}"
    what = "stopping early" if event.rate is None else f"lr = {event.rate:.6g} from here on"
    return f"Iteration {event.iteration}, {event.output} stands still ({best}): {what}"


def _is_plain(outputs: tuple[Output, ...], loss: float) -> bool:
    """Whether the outputs say no more than the loss does."""
    return len(outputs) == 1 and outputs[0].loss_weight == 1.0 and abs(outputs[0].mean - loss) <= 1e-6 * abs(loss)


def _outputs(kind: str, outputs: tuple[Output, ...]) -> Iterator[str]:
    for index, name, value, weight in numbered(outputs):
        if index == MOST_VALUES:
            yield f"    … and {sum(output.values.size for output in outputs) - index} numbers more"
            return
        loss = f" (* {weight:.6g} = {weight * value:.6g} loss)" if weight else ""
        yield f"    {kind} net output #{index}: {name} = {value:.6g}{loss}"
