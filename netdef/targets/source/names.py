"""What is each value called in `forward`, and how is a submodule reached?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from keyword import iskeyword

from netdef.ir import Graph
from netdef.layers.record import Call
from netdef.targets.fuse import reads
from netdef.targets.record import Recording, identifier
from netdef.targets.source.code import text

_TAKEN = frozenset({"self", "torch", "nn", "F", "Tensor", "Net", "getattr"})
_UNCLEAR = frozenset({"l", "O", "I"})
"""Names that look like digits."""


def attribute(name: str) -> str:
    """How a submodule is read: ``self.conv1``, or by `getattr` where its name is no identifier."""
    return f"self.{name}" if is_plain(name) else f"getattr(self, {text(name)})"


def is_plain(name: str) -> bool:
    """Whether Python takes a name after ``self.`` as it is."""
    return name.isascii() and name.isidentifier() and not iskeyword(name) and not name.startswith("__")


def local_names(graph: Graph, recording: Recording, taken: Iterable[str]) -> dict[str, str]:
    """The local variable of each value, by the value's name: Caffe's name of the blob it is.

    In-place layers write over their variable, as Caffe's do over their blob, unless its old value is read later on.
    """
    naming = _Naming({*_TAKEN, *taken}, _last_reads(graph, recording))
    blobs = _blob_names(graph, recording)
    for _, value in recording.inputs:
        naming.take(value.name, blobs[value.name], -1)
    for place, call in enumerate(recording.calls):
        name = call.result.name
        if name in blobs:
            naming.take(name, blobs[name], place)
    for call in recording.calls:  # what stands between blobs, under names that no blob has
        name = call.result.name
        if name not in blobs:
            naming.take(name, name, -1)
    return naming.found


class _Naming:
    """Gives out identifiers in the order of the calls."""

    def __init__(self, taken: set[str], last_reads: Mapping[str, int]) -> None:
        self.found: dict[str, str] = {}
        self._taken = taken
        self._last_reads = last_reads
        self._holders: dict[str, tuple[str, str]] = {}

    def take(self, value: str, blob: str, place: int) -> None:
        """Name the value that the call at `place` makes, as the blob is called if that is free."""
        stem = _identifier(blob)
        stem = f"{stem}_" if stem in self._taken else stem
        name, number = stem, 1
        while not self._is_free(name, blob, place):
            number += 1
            name = f"{stem}_{number}"
        self._holders[name] = (value, blob)
        self.found[value] = name

    def _is_free(self, name: str, blob: str, place: int) -> bool:
        if name in self._taken:
            return False
        if name not in self._holders:
            return True
        value, held = self._holders[name]
        return held == blob and self._last_reads.get(value, -1) <= place


def _identifier(name: str) -> str:
    stem = identifier(name)
    return f"{stem}_" if iskeyword(stem) or stem in _UNCLEAR else stem


def _blob_names(graph: Graph, recording: Recording) -> dict[str, str]:
    """Caffe's name of the blob that each value is; of several (Split) the first."""
    names: dict[str, str] = {}
    for blob in graph.blobs.values():
        names.setdefault(recording.values[blob.id].name, blob.name)
    return names


def _last_reads(graph: Graph, recording: Recording) -> dict[str, int]:
    """The place of the last call that reads each value; behind all of them for what `forward` returns."""
    last = {value.name: place for place, call in enumerate(recording.calls) for value in reads(call)}
    returned = [recording.values[blob.id] for blob in graph.outputs]
    returned += [recording.loss] if recording.loss else []
    return last | {value.name: len(recording.calls) for value in returned}


def submodule_calls(calls: Iterable[Call]) -> dict[str, Call]:
    """The call that constructs each node's submodule, by node id."""
    return {call.owner: call for call in calls if call.kind == "module"}
