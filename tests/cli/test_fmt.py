"""Does `netdef fmt` touch what it should, and nothing else?"""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from netdef.cli.fmt import command

UGLY = b"layer{name:'a' # c\xe9\n}"
NEAT = b'layer {\n  name: "a"  # c\xe9\n}\n'


def _fmt(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], input=stdin)


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    path = tmp_path / "ugly.prototxt"
    path.write_bytes(UGLY)
    path.chmod(0o640)
    return path


def test_in_place(ugly: Path) -> None:
    result = _fmt(ugly)
    assert (result.exit_code, ugly.read_bytes()) == (0, NEAT)
    assert stat.S_IMODE(ugly.stat().st_mode) == 0o640
    assert [path.name for path in ugly.parent.iterdir()] == ["ugly.prototxt"]
    assert "1 file changed" in result.stderr


def test_neat_file_is_not_written(ugly: Path) -> None:
    ugly.write_bytes(NEAT)
    before = ugly.stat()
    result = _fmt(ugly)
    after = ugly.stat()
    assert (result.exit_code, after.st_ino, after.st_mtime_ns) == (0, before.st_ino, before.st_mtime_ns)
    assert "1 file in style" in result.stderr


def test_check(ugly: Path) -> None:
    result = _fmt("--check", ugly)
    assert (result.exit_code, ugly.read_bytes()) == (1, UGLY)
    assert "ugly.prototxt is not in style" in result.stderr
    ugly.write_bytes(NEAT)
    assert _fmt("--check", ugly).exit_code == 0


def test_diff(ugly: Path) -> None:
    result = _fmt("--diff", ugly)
    assert (result.exit_code, ugly.read_bytes()) == (0, UGLY)
    lines = result.stdout_bytes.split(b"\n")
    assert lines[2:] == [
        b"@@ -1,2 +1,3 @@",
        b"-layer{name:'a' # c\xe9",
        b"-}",
        b"\\ No newline at end of file",
        *(b"+" + line for line in NEAT.splitlines()),
        b"",
    ]


def test_check_and_diff(ugly: Path) -> None:
    assert _fmt("--check", "--diff", ugly).exit_code == 1


def test_stdin_to_stdout() -> None:
    result = _fmt("-", stdin=UGLY)
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, NEAT, "")


def test_syntax_error_leaves_the_file_and_the_others_go_on(ugly: Path) -> None:
    broken = ugly.with_name("broken.prototxt")
    broken.write_text("a: [")
    result = _fmt(broken, ugly)
    assert (result.exit_code, broken.read_text(), ugly.read_bytes()) == (1, "a: [", NEAT)
    assert "error[ND0108]" in result.stderr
    assert "1 file changed, 1 file left alone" in result.stderr


def test_stdin_with_syntax_error() -> None:
    result = _fmt("-", stdin=b"a 1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--> <stdin>:1:3" in result.stderr


def test_folder_is_walked(ugly: Path) -> None:
    deeper = ugly.parent / "a" / "b.prototxt"
    deeper.parent.mkdir()
    deeper.write_bytes(UGLY)
    other = deeper.with_suffix(".txt")
    other.write_bytes(UGLY)
    assert _fmt(ugly.parent).exit_code == 0
    assert (ugly.read_bytes(), deeper.read_bytes(), other.read_bytes()) == (NEAT, NEAT, UGLY)


def test_empty_folder(tmp_path: Path) -> None:
    result = _fmt(tmp_path)
    assert (result.exit_code, result.stderr) == (0, "no .prototxt files\n")


def test_missing_and_binary_files(tmp_path: Path) -> None:
    weights = tmp_path / "w.caffemodel"
    weights.write_bytes(b"\n\x04\0\0")
    result = _fmt(weights, tmp_path / "none")
    assert (result.exit_code, weights.read_bytes()) == (1, b"\n\x04\0\0")
    assert "ND0014" in result.stderr
    assert "ND0010" in result.stderr


def test_file_that_cannot_be_written(ugly: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("netdef.cli.fmt.write_atomic", full)
    result = _fmt(ugly)
    assert (result.exit_code, ugly.read_bytes()) == (3, UGLY)
    assert "No space left on device" in result.stderr


def test_no_files_is_wrong_usage() -> None:
    assert _fmt().exit_code == 2


def test_neither_torch_nor_onnx_is_imported() -> None:
    program = (
        "import sys; import netdef.cli.fmt, netdef.cli.explain; sys.exit(bool({'torch', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
