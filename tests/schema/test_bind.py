"""Does binding agree with protobuf's own text parser where that accepts, and tell all that is wrong where not?"""

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netdef.diagnostics import Source, has_errors
from netdef.diagnostics.fixes import apply_fixes
from netdef.schema import bind, netdef_pb2, read_message, read_source
from netdef.text import parse

CORPUS = Path(__file__).parents[2].parent / "shared/corpus/dev"


def check(text, message_type=netdef_pb2.LayerParameter):
    return read_message(Source("t.prototxt", text), message_type)


# --- what protobuf accepts, and what it refuses -------------------------------------------------------------------

VALUES = {
    "name": [
        *('"a"', "'a'", "\"a\" 'b'", r'"\n\t\\\"\x41\101\u00e9"', '"ö"', '""'),
        *("a", "1", "true", r'"\xff"', "1.5"),
    ],
    "phase": ["TRAIN", "TEST", "0", "1", "0x1", "01", "2", "-1", "train", '"TRAIN"', "1.0", "true"],
    "loss_weight": [
        *("1", "-1", "1.", ".5", "-.5", "1e3", "1E-3", "1f", "1.5f", "1e-4f", "0", "00", "1e50"),
        *("inf", "-inf", "nan", "-nan", "infinity", "INF", "NaN", "inff", "123456789012345678901"),
        *("010", "0x10", "-010", '"1"', "true", "x"),
    ],
    "propagate_down": [
        *("true", "false", "t", "f", "True", "False", "0", "1"),
        *("2", "-1", "TRUE", "yes", '"true"', "1.0"),
    ],
    "accuracy_param { top_k": [
        *("0", "1", "-1", "0x10", "0XfF", "017", "4294967295", "4294967296"),
        *("1.0", "1e3", '"1"', "a"),
    ],
    "accuracy_param { axis": [
        *("-1", "2147483647", "2147483648", "-2147483648", "-2147483649", "-0", "-0x80000000"),
        *("nan", "true"),
    ],
}
CASES = [(name, value) for name, values in VALUES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{n.split()[-1]}: {v}" for n, v in CASES])
def test_values_as_protobuf_reads_them(name, value):
    text = f"{name}: {value}" + (" }" if "{" in name else "")
    bound = check(text)
    try:
        expected = text_format.Parse(text, netdef_pb2.LayerParameter())
    except text_format.ParseError:
        expected = None
    if name == "phase" and value in ("0x1", "01"):  # C++ protobuf, and so Caffe, reads these; Python's does not
        expected = netdef_pb2.LayerParameter(phase="TEST")
    assert has_errors(bound.diagnostics) is (expected is None)
    if expected is not None:
        assert bound.message.SerializeToString() == expected.SerializeToString()


@pytest.mark.parametrize(
    "text",
    [
        "bottom: ['a', 'b'] bottom: 'c'",
        "bottom: []",
        "param [{lr_mult: 1}, <decay_mult: 2>]",
        "param { } param: <>",
        "pooling_param: { pool: AVE; kernel_size: 2, stride: 2 }",
        "input_param { shape { dim: [1, 0x2, 03] } }",
        "python_param { param_str: \"{'a': 1}\" '\\n' }",
    ],
)
def test_messages_as_protobuf_reads_them(text):
    bound = check(text)
    assert not bound.diagnostics
    assert bound.message == text_format.Parse(text, netdef_pb2.LayerParameter())


def test_bytes_are_bytes():
    bound = check(r'data: "\xff\000" "é"', netdef_pb2.Datum)
    assert bound.message.data == b"\xff\0\xc3\xa9"


# --- faults -------------------------------------------------------------------------------------------------------

FAULTS = [
    # text, code, span, line:column, part of the message, part of label or help, text after the fix
    ("botom: 'x'", "ND0201", "botom", "no field `botom`", "did you mean `bottom`", "bottom: 'x'"),
    ("kernel_size: 3", "ND0201", "kernel_size", "LayerParameter", "`convolution_param` or `pooling_param`", None),
    ("type: 'Pooling' kernel_size: 3", "ND0201", "kernel_size", "", "belongs into `pooling_param`", None),
    ("type: 'InnerProduct' num_output: 3", "ND0201", "num_output", "", "`inner_product_param`", None),
    ("relu_param { top: 'x' }", "ND0201", "top", "ReLUParameter", "one level out", None),
    ("input_param { shape { name: 'x' } }", "ND0201", "name", "BlobShape", "2 levels out", None),
    ("ConvolutionParameter { }", "ND0201", "ConvolutionParameter", "", "did you mean `convolution_param`", None),
    ("blobs_lr: 1", "ND0201", "blobs_lr", "", "write `param { lr_mult: … }`", None),
    ("biasterm: 1", "ND0201", "biasterm", "", "field of V0LayerParameter", None),
    ("type: 'Pooling' pool_param { }", "ND0201", "pool_param", "", "did you mean `pooling_param`", None),
    ("type: 'Pooling' conv_param { }", "ND0201", "conv_param", "", "did you mean `pooling_param`", None),
    ("relu_params { }", "ND0201", "relu_params", "", "did you mean `relu_param`", "relu_param { }"),
    ("input_param { shape: [1, 2] }", "ND0203", "[1, 2]", "found a list", "`shape { dim: [1, 2] }`", None),
    ("include: TRAIN", "ND0203", "TRAIN", "takes a block", "`include { phase: TRAIN }`", None),
    ("relu_param { wibble: 1 }", "ND0201", "wibble", "", "has: negative_slope, engine", None),
    ("[a.b] { }", "ND0210", "[a.b]", "extension", "plain field name", None),
    ("name: conv1", "ND0202", "conv1", "takes a text in quotes, found the word `conv1`", "", 'name: "conv1"'),
    ("name: -1.5", "ND0202", "-1.5", "found the number `-1.5`", "", 'name: "-1.5"'),
    ("loss_weight: '0.5'", "ND0202", "'0.5'", "takes a number, found the text '0.5'", "", "loss_weight: 0.5"),
    ("loss_weight: 'a'", "ND0202", "'a'", "takes a number", "", None),
    ("propagate_down: yes", "ND0202", "yes", "takes true or false", "", "propagate_down: true"),
    ("propagate_down: 'false'", "ND0202", "'false'", "true or false", "", "propagate_down: false"),
    ("pooling_param { stride: 2.0 }", "ND0202", "2.0", "a whole number of at least 0", "",
     "pooling_param { stride: 2 }"),
    ("pooling_param { stride: 2.5 }", "ND0202", "2.5", "a whole number of at least 0", "", None),
    ("pooling_param { pool: 'MAX' }", "ND0202", "'MAX'", "one of MAX, AVE, STOCHASTIC", "",
     "pooling_param { pool: MAX }"),
    ("loss_weight: 0x10", "ND0202", "0x10", "takes a number", "decimal numbers only", None),
    ("relu_param: 1", "ND0203", "1", "takes a block", "relu_param { … }", None),
    ("name { }", "ND0203", "{", "takes a text in quotes, found a block", "", None),
    ("param: [1]", "ND0203", "[1]", "takes a block", "", None),
    ("pooling_param { pool: max }", "ND0204", "max", "no value `max`", "values: MAX, AVE",
     "pooling_param { pool: MAX }"),
    ("phase: 4294967296", "ND0204", "4294967296", "no value", "", None),  # Python's protobuf takes it for 0
    ("phase: TRIAN", "ND0204", "TRIAN", "no value `TRIAN`", "did you mean `TRAIN`", "phase: TRAIN"),
    ("phase: 7", "ND0204", "7", "no value `7`", "values: TRAIN, TEST", None),
    ("pooling_param { pad: -1 }", "ND0205", "-1", "0 to 4294967295", "too small", None),
    ("tile_param { tiles: 4000000000 }", "ND0205", "4000000000", "2147483647", "too large", None),
    ("tile_param { tiles: " + "9" * 9000 + " }", "ND0205", "9" * 9000, "2147483647, found the number `999", "", None),
    ("name: 'a'\nname: 'b'", "ND0206", "name", "given twice", "given again", None),
    ("relu_param { }\nrelu_param { }", "ND0206", "relu_param", "given twice", "", None),
    ("clip_param { min: 0 }", "ND0207", "clip_param", "needs `max`", "", None),
    ("clip_param { }", "ND0207", "clip_param", "needs `min` and `max`", "", None),
    (r"name: '\xff'", "ND0208", r"'\xff'", "UTF-8, which the byte 0xff breaks", "hex digits", None),
    ("pooling_param { pad: [1, 2] }", "ND0209", "[1, 2]", "a list of 2", "", None),
    ("pooling_param { pad: [1] }", "ND0209", "[1]", "a list of 1", "", "pooling_param { pad: 1 }"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "span", "message", "advice", "mended"), FAULTS, ids=[f"{f[1]} {f[0][:40]!r}" for f in FAULTS]
)
def test_fault(text, code, span, message, advice, mended):
    (found,) = check(text).diagnostics
    assert (found.code, found.span.text) == (code, span)
    assert message in found.message
    assert advice in "\n".join((found.label, *found.help))
    assert (mended is None) is (found.fix is None)
    if found.fix:
        (edit,) = found.fix.edits
        assert text[: edit.span.start] + edit.replacement + text[edit.span.end :] == mended
        assert not check(mended).diagnostics


@pytest.mark.parametrize(
    ("text", "message_type", "fork"),
    [
        ("item { name: 'cat' label: 1 }", netdef_pb2.NetParameter, "SSD"),
        ("plateau_winsize: 3", netdef_pb2.SolverParameter, "SSD"),
        ("pooling3d_param { }", netdef_pb2.LayerParameter, "C3D"),
        ("batch_norm_param { scale_bias: true }", netdef_pb2.LayerParameter, "NVCaffe"),
    ],
)
def test_the_fork_of_a_field_is_named(text, message_type, fork):
    (found,) = check(text, message_type).diagnostics
    assert found.help[0].startswith(f"this field is of {fork}")


def test_a_layer_within_a_layer_lacks_a_brace():
    (found,) = check("layer { layer { name: 'b' } }", netdef_pb2.NetParameter).diagnostics
    assert (found.label, found.help) == ("belongs to NetParameter, one level out", ("is a `}` missing before it?",))


def test_a_path_without_quotes_gets_them_around_all_of_it():
    text = "net: models/net.prototxt # mine"
    found = check(text, netdef_pb2.SolverParameter).diagnostics
    assert [(d.code, d.span.text) for d in found] == [("ND0202", "models"), ("ND0101", "/")]
    (edit,) = found[0].fix.edits
    assert (edit.span.text, edit.replacement) == ("models/net.prototxt", '"models/net.prototxt"')


@pytest.mark.parametrize(
    ("text", "mended"),
    [('name: a"', 'name: "a"'), ("name: a' # b", 'name: "a" # b'), ("name: a'b'", None)],
)
def test_a_word_with_one_quote_gets_the_other(text, mended):
    (found,) = [d for d in check(text).diagnostics if d.code == "ND0202"]
    assert (apply_fixes(found.span.source, [found]) if found.fix else None) == mended


def test_given_twice_points_at_both():
    (found,) = check("name: 'a'\n  name: 'b'").diagnostics
    assert (found.span.line, found.span.column) == (2, 3)
    assert [(label.span.line, label.span.text) for label in found.labels] == [(1, "name")]


def test_the_second_block_is_looked_into_as_well():
    found = check("relu_param { }\nrelu_param { negative_slope: 'x' }").diagnostics
    assert [d.code for d in found] == ["ND0206", "ND0202"]


def test_all_faults_come_in_one_run():
    text = "nme: 'x'\nphase: TRAINN\nrelu_param {\n  negative_slope: a\n  foo: 1\n}\ntop: 3\nname: 'ok'\n"
    bound = check(text)
    assert [(d.code, d.span.line) for d in bound.diagnostics] == [
        ("ND0201", 1), ("ND0204", 2), ("ND0202", 4), ("ND0201", 5), ("ND0202", 7),
    ]  # fmt: skip
    assert bound.message.name == "ok"
    assert not bound.where.has("phase")


def test_what_the_parser_reported_is_not_reported_again():
    source = Source("t.prototxt", 'name: "a\ntop: "b"\n')
    parsed = parse(source)
    assert parsed.diagnostics
    assert bind(parsed.document, netdef_pb2.LayerParameter).diagnostics == ()


# --- against protobuf, on real files and made-up messages ---------------------------------------------------------


def _real():
    path = CORPUS / "manifest.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    kinds = {"solver": netdef_pb2.SolverParameter}
    return [(row["file"], kinds.get(row["kind"], netdef_pb2.NetParameter), row["parses_with"]) for row in rows]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.exists(), reason="needs the corpus")
def test_every_real_file_as_protobuf_reads_it():
    for file, message_type, dialects in _real():
        source = read_source(CORPUS / file)
        parsed = parse(source)
        bound = bind(parsed.document, message_type)
        found = (*parsed.diagnostics, *bound.diagnostics)
        assert has_errors(found) is ("bvlc" not in dialects), (file, found)
        if "bvlc" in dialects:
            text = source.text.removeprefix("\ufeff")
            assert bound.message == text_format.Parse(text, message_type()), file


@st.composite
def messages(draw, descriptor, depth=3):
    """A message with some of its fields set, to any values."""
    message = descriptor._concrete_class()
    fields = [f for f in descriptor.fields if depth > 0 or not f.message_type]
    for field in draw(st.lists(st.sampled_from(fields), max_size=4, unique_by=id)) if fields else ():
        for _ in range(draw(st.integers(1, 3)) if field.is_repeated else 1):
            if field.message_type:
                value = draw(messages(field.message_type, depth - 1))
            else:
                value = draw(_SCALARS.get(field.cpp_type, _enum(field)))
            _set(message, field, value)
    for field in descriptor.fields:
        if field.is_required and not message.HasField(field.name):
            setattr(message, field.name, draw(_SCALARS[field.cpp_type]))
    return message


def _set(message, field, value):
    if field.type == field.TYPE_BYTES:
        value = value.encode()
    if field.is_repeated:
        getattr(message, field.name).append(value)
    elif field.message_type:
        getattr(message, field.name).CopyFrom(value)
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, value)


def _enum(field):
    return st.sampled_from(sorted(field.enum_type.values_by_number)) if field.enum_type else st.nothing()


_FIELD = type(netdef_pb2.NetParameter.DESCRIPTOR.fields[0])
_SCALARS = {
    _FIELD.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    _FIELD.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    _FIELD.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    _FIELD.CPPTYPE_FLOAT: st.floats(width=32),
    _FIELD.CPPTYPE_DOUBLE: st.floats(),
    _FIELD.CPPTYPE_BOOL: st.booleans(),
    _FIELD.CPPTYPE_STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
}
_STYLES = st.fixed_dictionaries(
    {},
    optional={
        "as_utf8": st.booleans(),
        "as_one_line": st.booleans(),
        "use_short_repeated_primitives": st.booleans(),
        "pointy_brackets": st.booleans(),
        "use_index_order": st.booleans(),
        "force_colon": st.booleans(),
    },
)


@pytest.mark.parametrize("message_type", [netdef_pb2.NetParameter, netdef_pb2.SolverParameter, netdef_pb2.Datum])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_made_up_messages_come_back(message_type, data):
    message = data.draw(messages(message_type.DESCRIPTOR))
    text = text_format.MessageToString(message, **data.draw(_STYLES))
    bound = bind(parse(Source("t.prototxt", text)).document, message_type)
    assert not bound.diagnostics, text
    expected = text_format.Parse(text, message_type())  # not `message`: the sign of -nan is lost in the text
    assert bound.message.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
