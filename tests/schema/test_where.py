"""Does each part of a message know its place in the text?"""

from netdef.diagnostics import Source
from netdef.schema import Where, netdef_pb2, read_message

TEXT = """\
name: "n"
layer {
  top: "a" top: "b"
  convolution_param < kernel_size: [3, 55] stride: 2 weight_filler { std: - 1 } >
}
layer: { name: "x" "y" }
"""


def bound():
    found = read_message(Source("net.prototxt", TEXT), netdef_pb2.NetParameter)
    assert not found.diagnostics
    return found.where


def test_values_and_names():
    where = bound()
    layer = where.sub("layer")
    convolution = layer.sub("convolution_param")
    assert where.field("name").text == '"n"'
    assert layer.field("top", 1).text == '"b"'
    assert (layer.name("top", 1).line, layer.name("top", 1).column) == (3, 12)
    assert convolution.field("kernel_size", 1).text == "55"
    assert convolution.name("kernel_size", 1).text == "kernel_size"
    assert convolution.sub("weight_filler").field("std").text == "- 1"
    assert where.sub("layer", 1).field("name").text == '"x" "y"'


def test_a_message_is_where_its_name_is():
    where = bound()
    assert (where.span.start, where.span.end) == (0, 0)
    assert (where.sub("layer", 1).span.line, where.sub("layer", 1).span.text) == (6, "layer")
    assert where.sub("layer").sub("convolution_param").span.text == "convolution_param"


def test_what_is_unset_falls_back_to_its_message():
    layer = bound().sub("layer")
    assert not layer.has("pooling_param")
    assert layer.has("top")
    assert layer.field("pooling_param") == layer.name("pooling_param") == layer.span
    assert layer.sub("pooling_param") is layer


def test_one_value_for_many():
    convolution = bound().sub("layer").sub("convolution_param")
    assert convolution.field("stride", 1).text == "2"


def test_nowhere():
    where = Where.nowhere()
    assert where.span is None
    assert where.field("name") is None
    assert where.sub("layer").sub("convolution_param").name("pad") is None
    assert not where.has("name")
