"""Floor 9: `import netdef.pycaffe as caffe` in the place of `import caffe`."""

from netdef.pycaffe.blob import Blob
from netdef.pycaffe.mode import TEST, TRAIN, set_mode_cpu, set_random_seed
from netdef.pycaffe.net import Net
from netdef.pycaffe.solver import SGDSolver, get_solver, AdamSolver
