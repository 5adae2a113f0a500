"""netdef: a Caffe-style declarative model compiler; prototxt in, PyTorch training and proven ONNX out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netdef.api import allow_python, build, eject, export_onnx, load_net, read_weights
    from netdef.diagnostics import NetdefError
    from netdef.solver.loop import Solver

__all__ = ["NetdefError", "Solver", "allow_python", "build", "eject", "export_onnx", "load_net", "read_weights"]

_HOME = {"NetdefError": "netdef.diagnostics", "Solver": "netdef.solver.loop"}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first asked for: `netdef check` must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module 'netdef' has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "netdef.api")), name)
