"""What does one record of a database hold? Free of numpy, for the probe."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from netdef.data.faults import BadData
from netdef.schema.netdef_pb2 import Datum

Sizes = tuple[int, int, int]


def parse(key: bytes, value: bytes) -> Datum:
    """The Datum in a record; BadData ND0510 when the bytes are none, or its sizes and its data disagree.

    Source: Caffe's data_transformer.cpp takes `data` (bytes) where there is any, `float_data` otherwise.
    """
    try:
        datum = Datum.FromString(value)
    except DecodeError as fault:
        raise _bad(key, f"{len(value):,} bytes that are no Datum message") from fault
    if datum.encoded:
        if not datum.data:
            raise _bad(key, "an encoded image without data")
        return datum
    sizes = (datum.channels, datum.height, datum.width)
    found = len(datum.data) or len(datum.float_data)
    if min(sizes) <= 0 or found != datum.channels * datum.height * datum.width:
        raise _bad(key, f"the sizes say {_times(sizes)} and there are {found:,} values")
    return datum


def encode(pixels: bytes, sizes: Sizes, label: int) -> bytes:
    """A Datum of C x H x W bytes, channel after channel, with its class."""
    channels, height, width = sizes
    datum = Datum(channels=channels, height=height, width=width, data=pixels, label=label)
    return datum.SerializeToString(deterministic=True)


def encode_image(file: bytes, label: int) -> bytes:
    """A Datum that holds an image file (JPEG, PNG …) as it is, with its class."""
    return Datum(data=file, label=label, encoded=True).SerializeToString(deterministic=True)


def show_key(key: bytes) -> str:
    """A record's key for people."""
    return '"' + key.decode("utf-8", "backslashreplace") + '"'


def _bad(key: bytes, what: str) -> BadData:
    return BadData("ND0510", f"record {show_key(key)} is damaged or no Datum: {what}")


def _times(sizes: Sizes) -> str:
    return "x".join(map(str, sizes))
