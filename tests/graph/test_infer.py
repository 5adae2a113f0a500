"""Shapes through a net, and how their clashes are told."""

from dataclasses import dataclass

from netdef.diagnostics import Diagnostic
from netdef.graph import Options
from netdef.ir import Places, Shape
from netdef.layers import Layer
from tests.graph.compiling import compiled, finding, graph, underlined

DATA = 'layer { name: "data" type: "Data" top: "data" data_param { source: "nowhere" batch_size: 64 backend: LMDB } }\n'
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
    "convolution_param { num_output: 8 kernel_size: 3 } }\n"
)


@dataclass(frozen=True)
class Told:
    shapes: tuple[tuple[int, ...], ...] | None
    diagnostics: tuple[Diagnostic, ...] = ()


def test_unknown_sizes_are_carried_through() -> None:
    net = graph(DATA + CONV)
    assert str(net.blobs["conv"].shape) == "64x8x?x?"
    assert str(net.layers["conv"].params[0].spec.shape) == "8x?x3x3"


def test_supplied_shape() -> None:
    net = graph(DATA + CONV, Options(shapes={"data": Shape.of(64, 3, 28, 28)}))
    assert str(net.blobs["conv"].shape) == "64x8x26x26"


def test_supplied_shape_that_contradicts() -> None:
    found = finding(DATA, "ND0312", Options(shapes={"data": Shape.of(32, 3, 28, 28)}))
    assert found.message == '--shape gives "data" 32x3x28x28, but Data "data" makes it 64x?x?x?'


def test_supplied_shape_of_no_blob() -> None:
    found = finding(DATA, "ND0312", Options(shapes={"dat": Shape.of(1)}))
    assert found.message == '--shape names "dat", which is no blob of the net'


def test_probe_completes_what_the_layer_declares() -> None:
    def probe(layer: Layer, name: str, places: Places) -> Told:
        assert (layer.type, name, places.layer and places.layer.text) == ("Data", "data", "layer")
        fields = {field: span.text for field, span in places.fields.items()}
        assert fields == {"source": '"nowhere"', "batch_size": "64", "backend": "LMDB"}
        return Told(((64, 3, 32, 32),))

    assert str(graph(DATA + CONV, Options(probe=probe)).blobs["conv"].shape) == "64x8x30x30"


def test_clash_shows_both_shapes_and_their_origin() -> None:
    text = (
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 64 dim: 1 dim: 112 dim: 112 } } }\n'
        'layer { name: "pool1" type: "Pooling" bottom: "x" top: "pool1"'
        " pooling_param { kernel_size: 3 stride: 2 pad: 1 } }\n"
        'layer { name: "conv2" type: "Convolution" bottom: "x" top: "conv2"\n'
        "  convolution_param { num_output: 1 kernel_size: 3 stride: 2 pad: 1 } }\n"
        'layer { name: "sum" type: "Eltwise" bottom: "pool1" bottom: "conv2" top: "sum" }\n'
    )
    found = finding(text, "ND0304")
    assert found.message == "Eltwise inputs differ at axis 2: 57 and 56"
    assert (underlined(found), found.label) == ('"conv2"', "64x1x56x56")
    assert found.labels[0].text == '64x1x57x57, from Pooling "pool1" (line 2: kernel 3, stride 2, pad 1, rounds up)'
    assert found.help == ('Caffe\'s pooling rounds up; set `round_mode: FLOOR` in "pool1" to round down',)


def test_a_clash_does_not_hide_the_next() -> None:
    clash = 'layer {{ name: "{0}" type: "Eltwise" bottom: "a" bottom: "b" top: "{0}" }}\n'
    text = (
        'layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } shape { dim: 3 } } }\n'
        + clash.format("s")
        + clash.format("t")
    )
    assert [d.code for d in compiled(text).diagnostics] == ["ND0304", "ND0304"]


def test_legacy_headers() -> None:
    text = 'input: "a" input: "b" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 ' + " ".join(
        f"input_dim: {size}" for size in (5, 6, 7, 8)
    )
    net = graph(text)
    assert [(blob.name, str(blob.shape)) for blob in net.inputs] == [("a", "1x2x3x4"), ("b", "5x6x7x8")]
    net = graph('input: "a" input_shape { dim: 3 dim: 4 }')
    assert str(net.blobs["a"].shape) == "3x4"


def test_legacy_headers_that_do_not_add_up() -> None:
    found = finding('input: "a" input_dim: 1 input_dim: 2', "ND0311")
    assert "1 `input` fields need 4 `input_dim` (four each), found 2" in found.message
