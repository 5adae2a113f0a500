"""Compile a net written in a test."""

from __future__ import annotations

from netdef.diagnostics import Diagnostic, Source
from netdef.graph import Compiled, Options, compile_net
from netdef.ir import Graph
from netdef.schema import netdef_pb2 as pb
from netdef.schema.read import read_message


def compiled(text: str, options: Options | None = None) -> Compiled:
    """Whatever comes of a text that is free of binding errors."""
    bound = read_message(Source("net.prototxt", text), pb.NetParameter)
    assert bound.diagnostics == ()
    return compile_net(bound.message, bound.where, options or Options())


def graph(text: str, options: Options | None = None) -> Graph:
    """The graph of a text without errors."""
    result = compiled(text, options)
    assert result.graph is not None, result.diagnostics
    return result.graph


def finding(text: str, code: str, options: Options | None = None) -> Diagnostic:
    """The one diagnostic of a text, which must have that code."""
    found = compiled(text, options).diagnostics
    assert [d.code for d in found] == [code], found
    return found[0]


def underlined(diagnostic: Diagnostic) -> str:
    """The characters that a diagnostic points at."""
    assert diagnostic.span is not None
    return diagnostic.span.text
