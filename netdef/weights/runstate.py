"""What does an exact resume need that Caffe's solver state lacks, and where is it kept?

One .safetensors file beside the .solverstate: arrays (states of random generators, say), and values as JSON
in its metadata (data position, losses of the averaging window).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from netdef.files import PathLike
from netdef.weights import keys, tensors
from netdef.weights.faults import Damaged, reported
from netdef.weights.read import RUN_STATE, expect, mapped

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

_VALUES = "netdef.values"


def write_run_state(path: PathLike, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, JSON]) -> None:
    """Write arrays of any numeric type, and values, whole or not at all. Errors: ND0601."""
    tensors.write(path, arrays, {keys.KIND: RUN_STATE, _VALUES: json.dumps(dict(meta))})


def read_run_state(path: PathLike) -> tuple[dict[str, NDArray[Any]], dict[str, JSON]]:
    """What `write_run_state` wrote: arrays (read-only views on the file) and values.

    Errors: ND0601 (the system refuses), ND0606 (damaged), ND0607 (another kind of file).
    """
    name = os.fspath(path)
    with reported(name):
        data = mapped(name)
        expect(name, data, RUN_STATE)
        content = tensors.read(data)
        return content.arrays, _values(content.metadata.get(_VALUES, "{}"))


def _values(text: str) -> dict[str, JSON]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise Damaged(f"the values are no JSON: {fault}", code="ND0606") from fault
    if not isinstance(values, dict):
        raise Damaged("the values are no JSON object", code="ND0606")
    return values
