"""Which versions of ONNX's operator set can a model be written in?"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from netdef.diagnostics import NetdefError, error

OLDEST_OPSET = 13
"""The oldest that the layers' rules are written for: from 13 on Softmax works along one axis, and Squeeze, Split
and ReduceSum take their axes as inputs."""

COMMON_OPSET = 21
"""The newest that every ONNX Runtime from 1.20 on takes, the oldest that netdef works with: for models that are run
here and now, where a newer one gains nothing. What is written is in the newest that proves right (see `choices`)."""


def choices(newest: int) -> Iterator[int]:
    """What a model may be written in, the best first: newer ones live longer. All golden cases are right in each."""
    yield from range(newest, OLDEST_OPSET - 1, -1)


def definitions(model: onnx.ModelProto) -> frozenset[tuple[str, int]]:
    """The operators of a model, each with the operator set that its definition is from.

    Two models of one net with the same definitions are right or wrong together, whatever sets they are written in.
    """
    version = next(opset.version for opset in model.opset_import if not opset.domain)
    types = {node.op_type for node in model.graph.node}
    return frozenset((type, onnx.defs.get_schema(type, version).since_version) for type in types)


def newest_known() -> int:
    """The newest operator set that the installed onnx can check."""
    return int(onnx.defs.onnx_opset_version())


def require(opset: int, newest: int) -> int:
    """The same `opset`, if it is one that a model can be written in; `newest` is the upper bound.

    Raises:
        NetdefError: it is too old or too new (ND0903).
    """
    if OLDEST_OPSET <= opset <= newest:
        return opset
    raise NetdefError(
        [
            error(
                "ND0903",
                f"opset {opset} is outside of what can be written and run here: {OLDEST_OPSET} to {newest}",
                help="leave the choice to netdef, or install newer onnx and onnxruntime",
            )
        ]
    )
