"""Floor 9: `import netdef.pycaffe as caffe` in the place of `import caffe`, and pycaffe's scripts run.

What differs from pycaffe: Caffe's Split layers do not appear among the layers and blobs; errors are NetdefError in the
place of a crash; images are read by OpenCV; a Python layer needs consent (`netdef.allow_python`).
"""

from netdef.nn.python_layer import Layer
from netdef.pycaffe import classifier, coord_map, detector, draw, io, mode, net_spec, proto
from netdef.pycaffe.blob import Blob
from netdef.pycaffe.bygone import of_module as __getattr__  # noqa: F401 - asked for names that are not here
from netdef.pycaffe.classifier import Classifier
from netdef.pycaffe.detector import Detector
from netdef.pycaffe.mode import (
    NCCL,
    TEST,
    TRAIN,
    Timer,
    has_nccl,
    init_log,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from netdef.pycaffe.net import Net
from netdef.pycaffe.net_spec import NetSpec, layers, params, to_proto
from netdef.pycaffe.registry import layer_type_list
from netdef.pycaffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    Solver,
    get_solver,
)

__version__ = "1.0.0"
"""The version of Caffe whose pycaffe this stands for."""

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "classifier",
    "coord_map",
    "detector",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "mode",
    "net_spec",
    "params",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
