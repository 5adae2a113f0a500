"""What fields does a protobuf message hold, and where are their bytes? A reader that stays within bounds.

The whole message is never built: protobuf's own parser copies every number, and stops at 2 GB. Here a field
is a span of bytes; packed numbers become numpy views on the (memory-mapped) file.
Source: the encoding section of protobuf's documentation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from mmap import PAGESIZE, mmap
from typing import Any, NamedTuple

import numpy as np

from netdef.weights import narrow
from netdef.weights.faults import Damaged
from netdef.weights.narrow import Floats

if sys.platform == "linux":
    from mmap import MADV_DONTNEED

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTH = {FIXED32: 4, FIXED64: 8}

# A ResNet-152 has about 20,000 fields outside its data; a file with more than this is made to waste time.
_MAX_FIELDS = 1_000_000
_MAX_NUMBER = (1 << 29) - 1
_MAX_TEXT = 1 << 20
_MAX_BLOCK = 1 << 20


class Field(NamedTuple):
    """One field: `value` of a VARINT, else the bytes `start` to `end`.

    Of FIXED32 and FIXED64 a whole run of the same field is one Field: from the first tag to the last number.
    """

    number: int
    kind: int
    start: int
    end: int
    value: int = 0


class Wire:
    """Protobuf wire format in `data`. Anything that cannot be raises Damaged with the byte of it."""

    __slots__ = ("_left", "data")

    def __init__(self, data: bytes | mmap) -> None:
        self.data = data
        self._left = _MAX_FIELDS

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message in bytes `start` to `end`, in file order."""
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise Damaged(f"more than {_MAX_FIELDS:,} fields", offset=at, code="ND0608")
            field = self._field(at, end)
            yield field
            at = field.end

    def text(self, field: Field) -> str:
        """A string field; bytes that are not UTF-8 become escapes."""
        if field.kind != BYTES:
            raise Damaged(f"field {field.number} should be a string", offset=field.start)
        if field.end - field.start > _MAX_TEXT:
            raise Damaged(f"a string of {field.end - field.start:,} bytes", offset=field.start, code="ND0608")
        return self.data[field.start : field.end].decode("utf-8", "backslashreplace")

    def message(self, field: Field) -> Iterator[Field]:
        """The fields of a message field."""
        if field.kind != BYTES:
            raise Damaged(f"field {field.number} should be a message", offset=field.start)
        return self.fields(field.start, field.end)

    def integers(self, field: Field, limit: int) -> list[int]:
        """A repeated int64, packed or one of it; at most `limit` of them."""
        if field.kind == VARINT:
            return [_signed(field.value)]
        if field.kind != BYTES:
            raise Damaged(f"field {field.number} should hold integers", offset=field.start)
        found: list[int] = []
        at = field.start
        while at < field.end:
            if len(found) == limit:
                raise Damaged(f"more than {limit} integers in field {field.number}", offset=at)
            value, at = self._varint(at, field.end)
            found.append(_signed(value))
        return found

    def floats(self, field: Field, kind: int) -> Floats:
        """Repeated floats (`kind` FIXED32) or doubles (FIXED64): packed floats a view on the file, else a copy."""
        dtype = np.dtype("<f4" if kind == FIXED32 else "<f8")
        if field.kind == kind:
            return self._unpacked(field, dtype)
        if field.kind != BYTES:
            raise Damaged(f"field {field.number} should hold {dtype} numbers", offset=field.start)
        size = field.end - field.start
        if size % dtype.itemsize:
            raise Damaged(f"{size} bytes are no whole count of {dtype} numbers", offset=field.start)
        if kind == FIXED32:
            return np.frombuffer(self.data, dtype, size // dtype.itemsize, field.start)
        return self._copied(field.start, size // dtype.itemsize, dtype.itemsize, dtype)

    def _field(self, at: int, end: int) -> Field:
        tag, start = self._varint(at, end)
        number, kind = tag >> 3, tag & 7
        if not 0 < number <= _MAX_NUMBER:
            raise Damaged(f"{number} is no field number", offset=at)
        if kind == VARINT:
            value, stop = self._varint(start, end)
            return Field(number, kind, start, stop, value)
        if kind == BYTES:
            size, start = self._varint(start, end)
            _demand(size, start, end)
            return Field(number, kind, start, start + size)
        if kind not in _WIDTH:
            raise Damaged(f"field {number} has the unknown wire type {kind}", offset=at)
        _demand(_WIDTH[kind], start, end)
        stop = self._run(at, end, start - at + _WIDTH[kind], start - at)
        return Field(number, kind, at, stop)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift == 70:
                raise Damaged("an integer of more than 10 bytes", offset=at)
        raise Damaged("the file or a message in it ends within an integer", offset=at)

    def _run(self, at: int, end: int, size: int, tag_size: int) -> int:
        """End of the run of records of `size` bytes, each with the same tag, that begins at `at`.

        Blocks double in size, so that both a run of one and a run of a hundred million are quick.
        """
        tag = np.frombuffer(self.data, np.uint8, tag_size, at)
        position, block = at + size, 1
        while (count := min(block, (end - position) // size)) > 0:
            records = np.frombuffer(self.data, np.uint8, count * size, position).reshape(count, size)
            same = (records[:, :tag_size] == tag).all(axis=1)
            if not same.all():
                return position + int(same.argmin()) * size
            self._release(position, position + count * size)
            position += count * size
            block = min(2 * block, _MAX_BLOCK)
        return position

    def _unpacked(self, field: Field, dtype: np.dtype[Any]) -> Floats:
        _, start = self._varint(field.start, field.end)
        size = start - field.start + dtype.itemsize
        return self._copied(field.start, (field.end - field.start) // size, size, dtype)

    def _copied(self, start: int, count: int, size: int, dtype: np.dtype[Any]) -> Floats:
        """The numbers at the ends of `count` records of `size` bytes, as float32."""
        values = np.empty(count, np.float32)
        for first in range(0, count, _MAX_BLOCK):
            part = values[first : first + _MAX_BLOCK]
            at, end = start + first * size, start + (first + part.size) * size
            records = np.frombuffer(self.data, np.uint8, end - at, at).reshape(part.size, size)
            narrow.fill(part, np.ascontiguousarray(records[:, -dtype.itemsize :]).view(dtype)[:, 0], at)
            self._release(at, end)
        return values

    def _release(self, start: int, end: int) -> None:
        """Let go of pages that were read: they are copied, and would count as memory in use."""
        if isinstance(self.data, mmap) and sys.platform == "linux" and end - start > PAGESIZE:
            first = start - start % PAGESIZE
            self.data.madvise(MADV_DONTNEED, first, end - first)


def _demand(size: int, start: int, end: int) -> None:
    if size > end - start:
        raise Damaged(f"{size:,} bytes are promised and {end - start:,} are left", offset=start)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def varint(value: int) -> bytes:
    """An integer of 0 or more, as the wire has it: seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, kind: int) -> bytes:
    """What stands before a field's value."""
    return varint(number << 3 | kind)


def header(number: int, size: int) -> bytes:
    """What stands before the `size` bytes of a string, a message or packed numbers."""
    return tag(number, BYTES) + varint(size)
