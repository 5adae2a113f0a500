"""Messages as text: protobuf's own parser must read the same message back."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format

from netdef.diagnostics import Source
from netdef.schema import netdef_pb2 as pb
from netdef.schema.print import print_message
from netdef.text import format_document, parse

LAYER = """\
name: "conv1"
type: "Convolution"
bottom: "data"
top: "conv1"
convolution_param {
  num_output: 64
  kernel_size: 7
  weight_filler { type: "gaussian" std: 0.01 }
}
"""

MESSAGES: dict[str, tuple[Any, str]] = {
    "inner messages with one field, or far in, on one line": (
        pb.NetParameter(
            name="n",
            layer=[pb.LayerParameter(name="d", type="Dropout", dropout_param=pb.DropoutParameter(dropout_ratio=0.5))],
        ),
        'name: "n"\n\nlayer {\n  name: "d"\n  type: "Dropout"\n  dropout_param { dropout_ratio: 0.5 }\n}\n',
    ),
    "an empty message": (
        pb.NetParameter(layer=[pb.LayerParameter(param=[pb.ParamSpec()])]),
        "layer {\n  param {}\n}\n",
    ),
    "an enum and a truth": (
        pb.PoolingParameter(pool=pb.PoolingParameter.AVE, global_pooling=True),
        "pool: AVE\nglobal_pooling: true\n",
    ),
    "signs in a string": (
        pb.LayerParameter(name='a "b"\\\n\x01é'),
        'name: "a \\"b\\"\\\\\\n\\001é"\n',
    ),
}


@pytest.mark.parametrize(("message", "text"), MESSAGES.values(), ids=MESSAGES)
def test_text(message: Any, text: str) -> None:
    assert print_message(message) == text
    assert text_format.Parse(text, type(message)()) == message


FLOATS = [0.1, 1e-5, 0.00390625, 1.0, -2.5, 3e38, 1.1754944e-38, 1e-45, 16777217.0, 0.333333343, 123456.7, 1e20]


@pytest.mark.parametrize("value", FLOATS)
def test_floats_come_back_in_few_digits(value: float) -> None:
    message = pb.SolverParameter(base_lr=value)
    text = print_message(message)
    assert text_format.Parse(text, pb.SolverParameter()) == message
    assert len(text) <= len(text_format.MessageToString(message))


@pytest.mark.parametrize(("value", "text"), [(0.1, "0.1"), (1e-5, "1e-5"), (1.0, "1"), (float("inf"), "inf")])
def test_floats_as_a_person_types_them(value: float, text: str) -> None:
    assert print_message(pb.SolverParameter(base_lr=value)) == f"base_lr: {text}\n"


def test_is_in_the_formatter_s_style() -> None:
    message = text_format.Parse(LAYER, pb.LayerParameter())
    net = pb.NetParameter(name="n", layer=[message, message])
    text = print_message(net)
    assert format_document(parse(Source("n", text)).document) == text
    assert '    weight_filler { type: "gaussian" std: 0.01 }\n' in text
