"""How does a recording become as fast and small as a net written by hand? BatchNorm in one call, ReLU in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from netdef.layers.record import Call, Value
from netdef.targets.record import Recording

BATCH_NORM, SCALE, RELU, ADD = "netdef.nn.BatchNorm", "netdef.nn.scale", "torch.nn.functional.relu", "torch.add"

_CONVOLUTIONS = (f"torch.nn.{kind}{axes}d" for kind in ("Conv", "ConvTranspose") for axes in (1, 2, 3))
_OUTPUT_UNREAD = frozenset((*_CONVOLUTIONS, "torch.nn.Linear", BATCH_NORM, ADD))
"""Steps whose backward pass reads their input, never their output, so that the output may be overwritten."""


def fuse(recording: Recording, wanted: Iterable[str]) -> Recording:
    """The same computation in fewer steps and less memory; the blobs whose ids are `wanted` keep their values."""
    kept = {recording.values[blob].name for blob in wanted} | ({recording.loss.name} if recording.loss else set())
    for step in (_scale_within_batch_norm, _relu_in_place):
        calls = recording.calls
        readers = Counter(value.name for call in calls for value in reads(call))
        made_by = {call.result.name: call for call in calls}
        alone = {name: call for name, call in made_by.items() if readers[name] == 1 and name not in kept}
        recording = replace(recording, calls=tuple(step(calls, alone.get)))
    return recording


Producer = Callable[[str], Call | None]
"""Finds the step that makes a value which one other step alone reads."""


def _scale_within_batch_norm(calls: tuple[Call, ...], only: Producer) -> Iterator[Call]:
    """Let BatchNorm multiply and shift by itself where a Scale follows along the channels, as torch's own does."""
    fused = {call.result.name: norm for call in calls if (norm := _norm_before(call, only))}
    absorbed = {norm.result.name for norm in fused.values()}
    for call in calls:
        norm = fused.get(call.result.name)
        if norm:
            weight, _, *bias = call.args[1:]
            yield replace(norm, inputs=(*norm.inputs, weight, *bias), result=call.result)
        elif call.result.name not in absorbed:
            yield call


def _norm_before(scale: Call, only: Producer) -> Call | None:
    if scale.target != SCALE or scale.args[2] != 1 or not isinstance(scale.args[0], Value):
        return None
    weight = scale.args[1].shape
    norm = only(scale.args[0].name)
    along_channels = weight.ranked and weight.rank == 1
    return norm if norm and norm.target == BATCH_NORM and len(norm.inputs) == 1 and along_channels else None


def _relu_in_place(calls: tuple[Call, ...], only: Producer) -> Iterator[Call]:
    """Write a ReLU over its input where nothing else reads that, on the way forward or back."""
    for call in calls:
        before = only(call.args[0].name) if call.target == RELU else None
        overwrite = before and before.target in _OUTPUT_UNREAD
        yield replace(call, kwargs=(("inplace", True),)) if overwrite else call


def reads(call: Call) -> Iterator[Value]:
    """Every value that a step reads, as often as it reads it."""
    return _values((call.args, dict(call.kwargs), call.inputs))


def _values(argument: Any) -> Iterator[Value]:
    if isinstance(argument, Value):
        yield argument
    elif isinstance(argument, dict):
        yield from _values(tuple(argument.values()))
    elif isinstance(argument, tuple | list):
        for item in argument:
            yield from _values(item)
