"""What the README shows is what happens. (Its two commands for a fresh machine are run by .ci/run.)"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from netdef.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def block(kind: str, words: str) -> str:
    """The one fenced block of a kind that holds `words`."""
    found = [text for language, text in BLOCKS if language == kind and words in text]
    assert len(found) == 1, f"{len(found)} blocks of {kind!r} with {words!r}"
    return str(found[0])


def netdef(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    command = [sys.executable, "-m", "netdef", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def test_first_net_is_right(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(block("protobuf", 'name: "Tiny"'))
    run = netdef("check", "net.prototxt", folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, "1 file: all good\n")


def test_broken_net_is_told_as_shown(tmp_path: Path) -> None:
    (tmp_path / "broken.prototxt").write_text(block("protobuf", '"Relu"'))
    run = netdef("check", "broken.prototxt", folder=tmp_path)
    assert run.returncode == 1
    assert run.stderr == block("", "error[ND0304]")


def test_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deploy.prototxt").write_text(block("protobuf", 'name: "Tiny"'))
    code = block("python", "import netdef").replace('weights="w.caffemodel"', "weights=()")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "m.onnx").exists()


def test_every_command_is_listed() -> None:
    listed = re.findall(r"^\| `netdef ([a-z-]+)", README, re.MULTILINE)
    assert sorted(set(listed)) == sorted(COMMANDS)
