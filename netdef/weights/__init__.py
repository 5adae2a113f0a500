"""Floor 6: weights and solver states in files: Caffe's own formats and safetensors, read by content."""

from netdef.weights.caffemodel import write_caffemodel, write_mean
from netdef.weights.hdf5 import write_hdf5
from netdef.weights.keys import write_safetensors
from netdef.weights.match import MatchReport, NetLayer, match
from netdef.weights.model import LayerWeights, Weights
from netdef.weights.narrow import Floats
from netdef.weights.read import kind_of, read_blob, read_weights
from netdef.weights.runstate import read_run_state, write_run_state
from netdef.weights.solverstate import SolverStateFile, read_solverstate, write_solverstate
from netdef.weights.write import write_weights

__all__ = [
    "Floats",
    "LayerWeights",
    "MatchReport",
    "NetLayer",
    "SolverStateFile",
    "Weights",
    "kind_of",
    "match",
    "read_blob",
    "read_run_state",
    "read_solverstate",
    "read_weights",
    "write_caffemodel",
    "write_hdf5",
    "write_mean",
    "write_run_state",
    "write_safetensors",
    "write_solverstate",
    "write_weights",
]
