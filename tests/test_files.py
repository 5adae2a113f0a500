"""Is a file written whole or not at all?"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from netdef.files import replacing, write_atomic


@pytest.mark.parametrize(
    ("data", "stored"),
    [(b"\x00\r\n", b"\x00\r\n"), ("ä\n", "ä\n".encode()), ("", b"")],
    ids=["bytes", "text", "empty"],
)
def test_new_file(tmp_path: Path, data: bytes | str, stored: bytes) -> None:
    write_atomic(tmp_path / "a", data)
    assert (tmp_path / "a").read_bytes() == stored
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_atomic(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_old_mode_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    write_atomic(str(path), "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)


def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "target"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def _interrupted(path: Path) -> None:
    with replacing(path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt


def test_device_is_written_to_not_replaced() -> None:
    write_atomic("/dev/null", "x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path, "x")


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "a", "x")
