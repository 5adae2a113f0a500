"""Floor 5: from a net's message to its Graph."""

from netdef.graph.compile import PASSES, Compiled, compile_net, states_of
from netdef.graph.draft import Options, Probe
from netdef.graph.load import Checked, check, check_bound, load
from netdef.graph.sizes import demand_layers, demand_sizes

__all__ = [
    "PASSES",
    "Checked",
    "Compiled",
    "Options",
    "Probe",
    "check",
    "check_bound",
    "compile_net",
    "demand_layers",
    "demand_sizes",
    "load",
    "states_of",
]
