"""The judge of the text tests: a recursive message with a field of each kind, read by protobuf's own text_format."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

KINDS = {"m": 11, "i": 3, "u": 4, "d": 1, "s": 9, "b": 12, "e": 14, "o": 8}


def _message_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="judge.proto", package="judge", syntax="proto2")
    enum = file.enum_type.add(name="E")
    for number, name in enumerate(("MAX", "AVE", "STOCHASTIC")):
        enum.value.add(name=name, number=number)
    message = file.message_type.add(name="M")
    for number, (name, kind) in enumerate(KINDS.items(), 1):
        type_name = {"m": ".judge.M", "e": ".judge.E"}.get(name)
        message.field.add(name=name, number=number, type=kind, label=3, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("judge.M"))


@pytest.fixture(scope="session")
def judge() -> Callable[[str], Any]:
    """Text to the message that protobuf reads from it, None where protobuf refuses it."""
    message_class = _message_class()

    def read(text: str) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Python only warns of an octal escape past \377
                return text_format.Parse(text, message_class())
        except (text_format.ParseError, ValueError, DeprecationWarning):
            return None

    return read
