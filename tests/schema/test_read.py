"""What is told to somebody whose file is missing, not a text, or not UTF-8?"""

import os

import pytest

from netdef.diagnostics import NetdefError, Source
from netdef.schema import netdef_pb2, read_message, read_source


def refused(path):
    with pytest.raises(NetdefError) as caught:
        read_source(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "solver.prototxt").write_text("")
    diagnostic = refused(tmp_path / "solvr.prototxt")
    assert diagnostic.code == "ND0010"
    assert "solver.prototxt" in diagnostic.help[0]


def test_missing_folder(tmp_path):
    diagnostic = refused(tmp_path / "nowhere" / "net.prototxt")
    assert (diagnostic.code, "nowhere does not exist" in diagnostic.help[0]) == ("ND0010", True)


def test_folder(tmp_path):
    assert refused(tmp_path).code == "ND0011"


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_no_permission(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text("")
    path.chmod(0)
    assert refused(path).code == "ND0012"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000], ids=["zero byte", "too long"])
def test_impossible_name(name):
    assert refused(name).code == "ND0013"


def test_binary_junk(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"\x0a\x05LeNet\x00\xff\xfe")
    diagnostic = refused(path)
    assert diagnostic.code == "ND0014"
    assert "offset 7" in diagnostic.message


def test_utf_16(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes("name: 'a'".encode("utf-16"))
    assert "is a text in UTF-16, not in UTF-8" in refused(path).message


def test_other_encodings_are_refused_in_values(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes('# ö\nname: "caf'.encode() + b'\xe9"\n')
    diagnostic = refused(path)
    assert diagnostic.code == "ND0015"
    assert (diagnostic.span.line, diagnostic.span.column) == (2, 11)
    assert "0xe9 at offset 15" in diagnostic.message


def test_other_encodings_pass_in_comments(tmp_path):
    path = tmp_path / "net.prototxt"
    data = b'name: "a#b" # caf\xe9\n'
    path.write_bytes(data)
    source = read_source(path)
    assert source.text.encode("utf-8", "surrogateescape") == data
    assert read_message(source, netdef_pb2.NetParameter).message.name == "a#b"


@pytest.mark.parametrize("text", ["", "\ufeff", "\ufeffname: 'x'", "name: 'x'\r\n"], ids=repr)
def test_mark_and_line_breaks_stay(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_bytes(text.encode())
    source = read_source(path)
    assert source.text == text
    assert not read_message(path, netdef_pb2.NetParameter).diagnostics


def test_syntax_and_binding_faults_come_in_the_order_of_the_text():
    source = Source("net.prototxt", 'nam: "x"\nlayer { name "y" }\nnaem: "z"\n')
    bound = read_message(source, netdef_pb2.NetParameter)
    assert [d.span.line for d in bound.diagnostics] == [1, 2, 3]
