"""Are the generated modules those of the .proto files, and do they hold what real Caffe's files hold?"""

import re
import subprocess
import sys
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
from google.protobuf.unknown_fields import UnknownFieldSet

from netdef.schema import netdef_pb2, weights_pb2
from netdef.schema.generate import NAMES, PROTOS, SCHEMA, header

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = sorted(GOLDEN.glob("nets/*/weights.caffemodel"))


@pytest.mark.parametrize("suffix", [".py", ".pyi"])
@pytest.mark.parametrize("name", NAMES)
def test_generated_code_is_fresh(name, suffix):
    with (SCHEMA / f"{name}_pb2{suffix}").open(encoding="utf-8") as stream:
        assert stream.readline() == header(name), "run python -m netdef.schema.generate"


@pytest.mark.parametrize("name", NAMES)
def test_every_field_value_and_message_is_explained(name):
    lines = (PROTOS / f"{name}.proto").read_text(encoding="utf-8").splitlines()
    thing = re.compile(r"\s*(optional|repeated|required|message|enum|[A-Z][A-Z_0-9]* = )")
    bare = [line for above, line in pairwise(lines) if thing.match(line) and "//" not in above]
    assert bare == []


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.parent.name)
def test_real_caffes_files_hold_no_unknown_number(path):
    model = netdef_pb2.NetParameter.FromString(path.read_bytes())
    assert list(_unknown(model)) == []
    small = weights_pb2.NetParameter.FromString(path.read_bytes())
    full = [(layer.name, layer.blobs) for layer in (*model.layer, *model.layers)]
    read = [(layer.name, layer.blobs) for layer in (*small.layer, *small.layers)]
    assert [(n, [b.SerializeToString() for b in blobs]) for n, blobs in read] == [
        (n, [b.SerializeToString() for b in blobs]) for n, blobs in full
    ]


def _unknown(message):
    yield from (f"{message.DESCRIPTOR.name} {field.field_number}" for field in UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type:
            for item in value if field.is_repeated else [value]:
                yield from _unknown(item)


# Caffe's own file as far as the process can tell: its name, its package, the same messages.
_BESIDE = """
from google.protobuf import descriptor_pb2, descriptor_pool
from netdef.schema import netdef_pb2, weights_pb2

def move(message):
    for field in message.field:
        if field.type_name:
            field.type_name = field.type_name.replace(".netdef.", ".caffe.")
    for nested in message.nested_type:
        move(nested)

file = descriptor_pb2.FileDescriptorProto.FromString(netdef_pb2.DESCRIPTOR.serialized_pb)
file.name, file.package = "caffe.proto", "caffe"
for message in file.message_type:
    move(message)
pool = descriptor_pool.Default()
pool.AddSerializedFile(file.SerializeToString())
names = "caffe.NetParameter", "netdef.NetParameter", "netdef.weights.NetParameter"
assert len({id(pool.FindMessageTypeByName(name)) for name in names}) == 3
assert pool.FindMessageTypeByName("netdef.NetParameter") is netdef_pb2.NetParameter.DESCRIPTOR
"""


def test_stands_beside_a_real_caffe_pb2():
    subprocess.run([sys.executable, "-W", "error", "-c", _BESIDE], check=True, cwd=SCHEMA.parent.parent)


def test_binding_needs_neither_torch_nor_onnx():
    code = "import sys, netdef.schema; sys.exit(bool({'torch', 'onnx', 'numpy'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=SCHEMA.parent.parent)


def test_own_fields_stand_from_1000_on_and_say_so():
    text = (PROTOS / "netdef.proto").read_text(encoding="utf-8")
    messages = netdef_pb2.DESCRIPTOR.message_types_by_name.values()
    ours = [
        m for m in messages if m.name not in ("V0LayerParameter", "V1LayerParameter")
    ]  # Caffe goes above 1000 there
    own = [(m.name, f.name, f.number) for m in ours for f in m.fields if f.number >= 1000]
    assert ("SolverParameter", "snapshot_keep", 1005) in own
    for message, name, number in own:
        before = text.partition(f"message {message} {{")[2].partition(f" {name} = {number}")[0].splitlines()[:-1]
        comment = list(takewhile(lambda line: line.strip().startswith("//"), reversed(before)))
        assert any("netdef's own" in line for line in comment), name


@pytest.mark.parametrize("name", NAMES)
def test_the_oldest_runtime_allowed_can_load_them(name):
    """pyproject.toml allows protobuf from 6.31.1 on, and a runtime refuses code that is newer than itself."""
    text = (SCHEMA / f"{name}_pb2.py").read_text(encoding="utf-8")
    assert "# Protobuf Python Version: 6.31.1\n" in text
