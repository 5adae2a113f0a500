"""Does the wire reader see what protobuf's own writer put there, and refuse what cannot be?"""

import numpy as np
import pytest

from netdef.schema.weights_pb2 import BlobProto, BlobShape
from netdef.weights.faults import Damaged
from netdef.weights.wire import BYTES, FIXED32, FIXED64, VARINT, Field, Wire, header, varint


def fields(data: bytes) -> list[Field]:
    return list(Wire(data).fields(0, len(data)))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\x00"),
        (1, b"\x01"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (1 << 31, b"\x80\x80\x80\x80\x08"),
    ],
)
def test_varint(value, encoded):
    assert varint(value) == encoded
    assert fields(b"\x08" + encoded) == [Field(1, VARINT, 1, 1 + len(encoded), value)]


def test_fields_of_a_message():
    message = BlobProto(num=3, data=[1, 2], shape=BlobShape(dim=[2])).SerializeToString()
    found = fields(message)
    assert [(f.number, f.kind) for f in found] == [(1, VARINT), (5, BYTES), (7, BYTES)]
    assert np.array_equal(Wire(message).floats(found[1], FIXED32), np.float32([1, 2]))


def test_packed_numbers_are_views():
    message = BlobProto(data=range(100)).SerializeToString()
    array = Wire(message).floats(fields(message)[0], FIXED32)
    assert array.base is not None
    assert not array.flags.writeable


@pytest.mark.parametrize("count", [1, 2, 3, 5, 100, 10_000])
@pytest.mark.parametrize(("tag", "kind", "dtype"), [(b"\x2d", FIXED32, "<f4"), (b"\x41", FIXED64, "<f8")])
def test_unpacked_numbers_are_one_field(count, tag, kind, dtype):
    values = np.arange(count, dtype=dtype) + 0.5
    run = b"".join(tag + value.tobytes() for value in values)
    data = b"\x08\x07" + run + b"\x10\x09"
    found = fields(data)
    assert [(f.number, f.value) for f in found] == [(1, 7), (tag[0] >> 3, 0), (2, 9)]
    assert np.array_equal(Wire(data).floats(found[1], kind), values)


def test_negative_and_packed_integers():
    dims = BlobShape(dim=[-1, 0, 5, 1 << 40]).SerializeToString()
    assert Wire(dims).integers(fields(dims)[0], 32) == [-1, 0, 5, 1 << 40]
    unpacked = b"".join(b"\x08" + varint(n) for n in (4, 5))
    assert [Wire(unpacked).integers(f, 32) for f in fields(unpacked)] == [[4], [5]]


@pytest.mark.parametrize(
    ("data", "offset", "message"),
    [
        pytest.param(b"\x0a\x05ab", 2, "5 bytes are promised and 2 are left", id="length past the end"),
        pytest.param(b"\x0a" + b"\xff" * 9 + b"\x01", 11, "promised", id="length of 2^64"),
        pytest.param(b"\x08\x80", 2, "ends within an integer", id="cut integer"),
        pytest.param(b"\x08" + b"\x80" * 12, 11, "more than 10 bytes", id="endless integer"),
        pytest.param(b"\x00\x01", 0, "no field number", id="field 0"),
        pytest.param(b"\x0b", 0, "unknown wire type 3", id="group"),
        pytest.param(b"\x0f\x01", 0, "unknown wire type 7", id="type 7"),
        pytest.param(b"\x2d\x00\x00", 1, "4 bytes are promised and 2", id="cut float"),
    ],
)
def test_damage(data, offset, message):
    with pytest.raises(Damaged, match=message) as caught:
        fields(data)
    assert caught.value.offset == offset


def test_field_count_is_bounded():
    with pytest.raises(Damaged, match="more than 1,000,000 fields") as caught:
        fields(b"\x08\x01" * 1_000_001)
    assert caught.value.code == "ND0608"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000])
def test_header(size):
    data = header(100, size) + bytes(size)
    assert [(f.number, f.end - f.start) for f in fields(data)] == [(100, size)]
