"""Floor 6: from the graph to an ONNX model. Nothing here runs a model; `netdef.deploy` does."""

from netdef.graph.batch import batch_of
from netdef.targets.onnx.batch import grown, growth_of, image_inputs, sizes
from netdef.targets.onnx.emit import emit, netdef_version
from netdef.targets.onnx.names import value_names
from netdef.targets.onnx.opset import COMMON_OPSET, OLDEST_OPSET, newest_known
from netdef.targets.onnx.saving import EXTERNAL_DATA_LIMIT, data_file, save

__all__ = [
    "COMMON_OPSET",
    "EXTERNAL_DATA_LIMIT",
    "OLDEST_OPSET",
    "data_file",
    "emit",
    "batch_of",
    "grown",
    "growth_of",
    "image_inputs",
    "netdef_version",
    "newest_known",
    "save",
    "sizes",
    "value_names",
]
