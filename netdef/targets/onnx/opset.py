"""Which versions of ONNX's operator set can a model be written in?"""

from __future__ import annotations

import onnx

from netdef.diagnostics import NetdefError, error

OLDEST_OPSET = 13
"""The oldest that the layers' rules are written for: from 13 on Softmax works along one axis, and Squeeze, Split
and ReduceSum take their axes as inputs."""

DEFAULT_OPSET = 21
"""What a model is written in unless asked otherwise: the newest that every ONNX Runtime from 1.20 on takes, the oldest
that netdef works with. All golden cases come out alike in 13 to 26, so a newer one would gain nothing."""


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
                help=f"leave the choice to netdef (opset {DEFAULT_OPSET}), or install newer onnx and onnxruntime",
            )
        ]
    )
