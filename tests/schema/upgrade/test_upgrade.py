"""Do old nets and solvers mean today what Caffe made of them, with their comments and places kept?"""

import json
import re
from pathlib import Path

import pytest
from google.protobuf import text_format

from netdef.diagnostics import Source, has_errors
from netdef.schema import netdef_pb2 as pb
from netdef.schema import read_message, read_source
from netdef.schema.upgrade import needs_upgrade, upgrade_inputs, upgrade_net, upgrade_solver
from netdef.text import parse, print_document

CORPUS = Path(__file__).parents[3].parent / "shared/corpus/dev"
GOLDEN = Path(__file__).parents[2] / "golden/nets/legacy_v1/net.prototxt"
V1, V0 = pb.V1LayerParameter, pb.V0LayerParameter


def upgraded(text, message_type=pb.NetParameter):
    return read_message(Source("old.prototxt", text), message_type)


def reads(old, new, message_type=pb.NetParameter):
    """Whether the old text reads as the new one does, also after it was printed and read again."""
    bound = upgraded(old, message_type)
    assert not has_errors(bound.diagnostics), bound.diagnostics
    expected = text_format.Parse(new, message_type())
    assert bound.message == expected
    upgrade = upgrade_net if message_type is pb.NetParameter else upgrade_solver
    printed = print_document(upgrade(parse(Source("old", old)).document).document)
    assert text_format.Parse(printed, message_type()) == expected
    assert re.findall(r"#.*", old) == [] or set(re.findall(r"#.*", old)) == set(re.findall(r"#.*", printed))


LAYERS = [
    pytest.param(
        "layers { name: 'a' type: CONVOLUTION bottom: 'x' top: 'y' include { phase: TEST } loss_weight: 2 }",
        "layer { name: 'a' type: 'Convolution' bottom: 'x' top: 'y' include { phase: TEST } loss_weight: 2 }",
        id="names and rules",
    ),
    pytest.param("layers { type: 21 }", "layer { type: 'SoftmaxWithLoss' }", id="type by number"),
    pytest.param(
        "layers { # one\n  blobs_lr: 1 # two\n  blobs_lr: 2\n  # three\n  weight_decay: 0.5 # four\n} # five\n",
        "layer { param { lr_mult: 1 decay_mult: 0.5 } param { lr_mult: 2 } }",
        id="rates, with comments",
    ),
    pytest.param(
        "layers { blobs_lr: [1, 2] weight_decay: [3] }",
        "layer { param { lr_mult: 1 decay_mult: 3 } param { lr_mult: 2 } }",
        id="rates as lists",
    ),
    pytest.param(
        "layers { param: 'w' param: 'b' blob_share_mode: PERMISSIVE blob_share_mode: 0 blobs_lr: 1 }",
        "layer { param { name: 'w' share_mode: PERMISSIVE lr_mult: 1 } param { name: 'b' share_mode: STRICT } }",
        id="sharing",
    ),
    pytest.param(
        "layers [{ name: 'a' }, { name: 'b' }] layers: < name: 'c' >",
        "layer { name: 'a' } layer { name: 'b' } layer { name: 'c' }",
        id="lists and angles",
    ),
    pytest.param(
        "layers { type: DATA data_param { source: 's' scale: 2 # why\n mirror: true crop_size: 3 mean_file: 'm' } }",
        "layer { type: 'Data' data_param { source: 's' }"
        " transform_param { scale: 2 mirror: true crop_size: 3 mean_file: 'm' } }",
        id="transform moves",
    ),
    pytest.param(
        "layers { type: 12 image_data_param { source: 's' mirror: true } }",
        "layer { type: 'ImageData' image_data_param { source: 's' } transform_param { mirror: true } }",
        id="transform moves, type by number",
    ),
    pytest.param(
        "layers { type: IMAGE_DATA image_data_param { scale: 2 } transform_param { scale: 3 mirror: true } }",
        "layer { type: 'ImageData' image_data_param { } transform_param { scale: 2 mirror: true } }",
        id="old transform goes before",
    ),
    pytest.param(
        "layers { type: MEMORY_DATA data_param { scale: 2 } }",
        "layer { type: 'MemoryData' data_param { scale: 2 } }",
        id="transform of other types stays",
    ),
    pytest.param(
        "layers { layer { name: 'c' type: 'conv' num_output: 4 kernelsize: 3 biasterm: false blobs_lr: 1 # k\n"
        " weight_decay: 2 weight_filler { type: 'xavier' } pad: 1 stride: 2 group: 2 } bottom: 'x' top: 'y' }",
        "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'y' param { lr_mult: 1 decay_mult: 2 }"
        " convolution_param { num_output: 4 kernel_size: 3 bias_term: false weight_filler { type: 'xavier' }"
        " pad: 1 stride: 2 group: 2 } }",
        id="2013: conv",
    ),
    pytest.param(
        "layers { layer { name: 'd' type: 'data' source: 's' meanfile: 'm' batchsize: 5 cropsize: 6 scale: 7 }"
        " top: 'x' }",
        "layer { name: 'd' type: 'Data' top: 'x' data_param { source: 's' batch_size: 5 }"
        " transform_param { mean_file: 'm' crop_size: 6 scale: 7 } }",
        id="2013: data",
    ),
    pytest.param(
        "layers { layer { name: 'd' type: 'window_data' det_fg_threshold: 0.1 det_crop_mode: 'square' mirror: true } }",
        "layer { name: 'd' type: 'WindowData' window_data_param { fg_threshold: 0.1 crop_mode: 'square' }"
        " transform_param { mirror: true } }",
        id="2013: windows",
    ),
    pytest.param(
        "# first\nlayers { layer { name: 'p' type: 'padding' pad: 2 } bottom: 'x' top: 'xp' } # padding\n"
        "layers { layer { name: 'c' type: 'conv' } bottom: 'xp' top: 'y' }",
        "layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'y' convolution_param { pad: 2 } }",
        id="2013: padding",
    ),
    pytest.param(
        "layers { layer { name: 'r' type: 'relu' } bottom: 'x' top: 'y' }\n"
        "layers { layer { name: 'p' type: 'padding' pad: 2 } bottom: 'y' top: 'z' # unread\n}",
        "layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'y' }",
        id="2013: padding at the end, with a comment",
    ),
    pytest.param(
        "layers { layer { name: 'h' type: 'hdf5_output' hdf5_output_param { file_name: 'f' } } bottom: 'x' }",
        "layer { name: 'h' type: 'HDF5Output' bottom: 'x' hdf5_output_param { file_name: 'f' } }",
        id="2013: output",
    ),
    pytest.param(
        "layers { layer { name: 'h' type: 'hdf5_data' source: 's' shuffle_images: true hdf5_output_param { } } }",
        "layer { name: 'h' type: 'HDF5Data' hdf5_data_param { source: 's' } }",
        id="2013: settings of other types are left out",
    ),
]


@pytest.mark.parametrize(("old", "new"), LAYERS)
def test_layer(old, new):
    reads(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("solver_type: NESTEROV # fast\nbase_lr: 1", "type: 'Nesterov' base_lr: 1"),
        ("solver_type: 3", "type: 'RMSProp'"),
        ("net_param { layers { type: TANH } }", "net_param { layer { type: 'TanH' } }"),
        ("type: 'Adam'", "type: 'Adam'"),
    ],
)
def test_solver(old, new):
    reads(old, new, pb.SolverParameter)


def test_todays_nets_stay_as_they_are():
    document = parse(Source("n", "layer { name: 'a' }")).document
    assert not needs_upgrade(document)
    assert upgrade_net(document).document is document


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            (
                "name: 'n' # n\ninput: 'a' # a\ninput: 'b'\ninput_dim: 1 input_dim: 2 input_dim: [3, 4, 5]"
                " input_dim: 6 input_dim: 7 input_dim: 8 # end\nlayer { }"
            ),
            (
                "name: 'n' layer { name: 'input' type: 'Input' top: 'a' top: 'b' input_param {"
                " shape { dim: [1, 2, 3, 4] } shape { dim: [5, 6, 7, 8] } } } layer { }"
            ),
        ),
        (
            "input: 'a' input_shape { dim: 2 dim: 3 } layer { }",
            "layer { name: 'input' type: 'Input' top: 'a' input_param { shape { dim: [2, 3] } } } layer { }",
        ),
        ("input: 'a' input_dim: 2", "input: 'a' input_dim: 2"),
        ("input: 'a'", "input: 'a'"),
        ("layer { }", "layer { }"),
    ],
    ids=["dims", "shape", "too few sizes", "no shape", "none"],
)
def test_inputs(old, new):
    printed = print_document(upgrade_inputs(parse(Source("old", old)).document))
    expected = text_format.Parse(new, pb.NetParameter())
    assert text_format.Parse(printed, pb.NetParameter()) == expected
    assert set(re.findall(r"#.*", old)) == set(re.findall(r"#.*", printed))


@pytest.mark.parametrize(
    ("text", "code", "span", "severity"),
    [
        ("layers { type: CONVOLUTON }", "ND0220", "CONVOLUTON", "error"),
        ("layers { type: 'Convolution' }", "ND0220", "'Convolution'", "error"),
        ("layers { type: 77 }", "ND0220", "77", "error"),
        ("layers { layer { type: 'convo' } }", "ND0220", "'convo'", "error"),
        ("layers { layer { type: 'relu' kernelsize: 3 } }", "ND0221", "kernelsize", "warning"),
        ("layers { layer { type: 'relu' kernelsise: 3 } }", "ND0201", "kernelsise", "error"),
        ("layers { layer { type: 'conv' kernel_size: 3 } }", "ND0201", "kernel_size", "error"),
        ("layers { layer { type: 'data' mean_file: 'm' } }", "ND0201", "mean_file", "error"),
        ("layers { type: 4294967300 }", "ND0220", "4294967300", "error"),
        (
            "layers { layer { type: 'padding' pad: 1 } top: 'p' } layers { layer { type: 'relu' } bottom: 'p' }",
            "ND0222", "'p'", "error",
        ),
        ("layers { type: RELU } layer { type: 'ReLU' }", "ND0223", "layers", "warning"),
        ("layers { blobs_lr: 'a' }", "ND0202", "'a'", "error"),
        ("layers { layer { type: 'conv' kernelsize: 'b' } }", "ND0202", "'b'", "error"),
        ("layers: 3", "ND0203", "3", "error"),
    ],
)  # fmt: skip
def test_what_cannot_be_brought_over(text, code, span, severity):
    found = {d.code: d for d in upgraded(text).diagnostics}
    assert code in found, found
    assert (found[code].span.text, found[code].severity.value) == (span, severity)
    assert len([d for d in found.values() if d.severity.value == "error"]) == (severity == "error")


def test_two_update_rules():
    (found,) = upgraded("type: 'SGD' solver_type: ADAM", pb.SolverParameter).diagnostics
    assert (found.code, found.span.text, found.labels[0].span.text) == ("ND0224", "solver_type", "type")


def test_places_are_those_of_the_old_text():
    bound = read_message(read_source(GOLDEN), pb.NetParameter)
    layer = bound.where.sub("layer")
    assert (layer.span.line, layer.span.text) == (8, "layers")
    assert (layer.field("type").line, layer.field("type").text) == (10, "CONVOLUTION")
    bias = layer.sub("param", 1)
    assert (bias.field("lr_mult").line, bias.name("decay_mult").line) == (14, 16)


# --- against a plain conversion of messages, after Caffe's upgrade_proto.cpp --------------------------------------

_SHARED = {f.name for f in V1.DESCRIPTOR.fields} & {f.name for f in pb.LayerParameter.DESCRIPTOR.fields}
_CAMEL = {"RELU": "ReLU", "TANH": "TanH", "LRN": "LRN", "HDF5_DATA": "HDF5Data"}
_CAMEL |= {"SOFTMAX_LOSS": "SoftmaxWithLoss"}
_WORDS = {"conv": V1.CONVOLUTION, "pool": V1.POOLING, "innerproduct": V1.INNER_PRODUCT, "images": V1.IMAGE_DATA}


def modern(layer):
    """A layer of 2014 as a message of today."""
    for name in ("data_param", "image_data_param", "window_data_param"):
        own = getattr(layer, name)
        if layer.type == V1.LayerType.Value(name.removesuffix("_param").upper()):
            for field, value in own.ListFields():
                if field.name in ("scale", "mean_file", "crop_size", "mirror"):
                    setattr(layer.transform_param, field.name, value)
                    own.ClearField(field.name)
    new = pb.LayerParameter()
    for field, value in layer.ListFields():
        if field.name in _SHARED - {"type", "param"}:
            _copy(new, field, value)
    name = V1.LayerType.Name(layer.type)
    new.type = _CAMEL.get(name, "".join(part.capitalize() for part in name.split("_")))
    for key, source in (("lr_mult", layer.blobs_lr), ("decay_mult", layer.weight_decay), ("name", layer.param)):
        for i, value in enumerate(source):
            while len(new.param) <= i:
                new.param.add()
            setattr(new.param[i], key, value)
    return new


def _copy(new, field, value):
    if field.is_repeated:
        getattr(new, field.name).extend(value)
    elif field.message_type:
        getattr(new, field.name).CopyFrom(value)
    else:
        setattr(new, field.name, value)


def flat(layer):
    """A layer of 2013 as a message of 2014."""
    nested, new = layer.layer, V1(bottom=layer.bottom, top=layer.top, name=layer.layer.name)
    new.type = _WORDS[nested.type] if nested.type in _WORDS else V1.LayerType.Value(nested.type.upper())
    new.blobs_lr.extend(nested.blobs_lr)
    new.weight_decay.extend(nested.weight_decay)
    block = {V1.POOLING: "pooling_param"}.get(new.type, V1.LayerType.Name(new.type).lower() + "_param")
    names = {"meanfile": "mean_file", "cropsize": "crop_size", "batchsize": "batch_size", "kernelsize": "kernel_size"}
    for field, value in nested.ListFields():
        name = {"biasterm": "bias_term", "shuffle_images": "shuffle", **names}.get(field.name, field.name)
        name = name.removeprefix("det_")
        if name in ("name", "type", "blobs_lr", "weight_decay"):
            continue
        own = new.transform_param if name in ("scale", "mean_file", "crop_size", "mirror") else getattr(new, block)
        if field.message_type:
            getattr(own, name).CopyFrom(value)
        elif own.DESCRIPTOR.fields_by_name[name].is_repeated:
            getattr(own, name).append(value)
        else:
            setattr(own, name, value)
    return new


def reference(net):
    new = pb.NetParameter()
    new.CopyFrom(net)
    del new.layers[:]
    pads = {layer.top[0]: layer for layer in net.layers if layer.layer.type == "padding"}
    for layer in net.layers:
        if layer.layer.type == "padding":
            continue
        if layer.bottom and layer.bottom[0] in pads:
            layer.layer.pad = pads[layer.bottom[0]].layer.pad
            layer.bottom[0] = pads[layer.bottom[0]].bottom[0]
        new.layer.append(modern(flat(layer) if layer.HasField("layer") else layer))
    return new


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.exists(), reason="needs the corpus")
def test_every_real_old_net_as_a_plain_conversion_of_messages():
    rows = [row for row in json.loads((CORPUS / "manifest.json").read_text()) if row["legacy_version"]]
    checked = 0
    for row in rows:
        source = read_source(CORPUS / row["file"])
        bound = read_message(source, pb.NetParameter)
        if "bvlc" not in row["parses_with"]:
            continue
        assert not has_errors(bound.diagnostics), (row["file"], bound.diagnostics)
        assert bound.message == reference(text_format.Parse(source.text, pb.NetParameter())), row["file"]
        printed = print_document(upgrade_net(parse(source).document).document)
        assert text_format.Parse(printed, pb.NetParameter()) == bound.message, row["file"]
        comments = re.findall(r"#[^\n]*", re.sub(r'"[^"\n]*"', '""', source.text))
        assert all(comment.strip() in printed for comment in comments), row["file"]
        checked += 1
    assert checked >= 40
