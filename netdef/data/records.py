"""How does a database record become an array and a label?"""

from __future__ import annotations

import numpy as np

from netdef.data.batch import Array
from netdef.data.database import Record
from netdef.data.datum import parse, show_key
from netdef.data.images import COLOR, GRAY, NATIVE, decode_image
from netdef.layers.data import Transform


def read_record(record: Record, transform: Transform) -> tuple[Array, int]:
    """Pixels (C, H, W), uint8 or float32, and label of a Datum.

    An encoded image is decoded natively, or as `force_color` or `force_gray` ask; BadData ND0510 or ND0513 name the
    record's key. Source: Caffe's data_transformer.cpp, Transform(const Datum&, …).
    """
    key, value = record
    datum = parse(key, value)
    if datum.encoded:
        mode = COLOR if transform.force_color else GRAY if transform.force_gray else NATIVE
        return decode_image(datum.data, mode, f"record {show_key(key)}"), datum.label
    sizes = (datum.channels, datum.height, datum.width)
    if datum.data:
        return np.frombuffer(datum.data, np.uint8).reshape(sizes), datum.label
    return np.array(datum.float_data, np.float32).reshape(sizes), datum.label
