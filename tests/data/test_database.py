"""Are broken, foreign and missing databases found out before they do harm?"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from netdef.data.database import open_database
from netdef.data.faults import BadData
from netdef.data.write import write_lmdb
from tests.data.build import make_lmdb, numbered


def a_file(path: Path) -> None:
    path.write_text("hello")


def an_empty_folder(path: Path) -> None:
    path.mkdir()


def an_empty_file_in_it(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").touch()


def junk(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(np.random.default_rng(0).bytes(50_000))


def truncated(path: Path) -> None:
    make_lmdb(path, numbered(200, (3, 20, 20)))
    file = path / "data.mdb"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 + 100])


def without_records(path: Path) -> None:
    make_lmdb(path, [])


def leveldb(path: Path) -> None:
    path.mkdir()
    (path / "CURRENT").write_text("MANIFEST-000002\n")


BROKEN: list[tuple[Callable[[Path], None], str]] = [
    (a_file, "ND0502"),
    (an_empty_folder, "ND0502"),
    (an_empty_file_in_it, "ND0502"),
    (junk, "ND0502"),
    (truncated, "ND0503"),
    (without_records, "ND0504"),
    (leveldb, "ND0506"),
]


@pytest.mark.parametrize(("make", "code"), BROKEN, ids=[make.__name__ for make, _ in BROKEN])
def test_refuses(make: Callable[[Path], None], code: str, tmp_path: Path) -> None:
    make(tmp_path / "db")
    for _ in range(2):  # a refused database is not kept open
        with pytest.raises(BadData) as caught:
            open_database(tmp_path / "db", "LMDB")
        assert caught.value.code == code
        assert "db" in caught.value.message


def test_lmdb_read_as_leveldb(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="read as LEVELDB") as caught:
        open_database(make_lmdb(tmp_path / "db", numbered(1)), "LEVELDB")
    assert caught.value.code == "ND0506"


def test_leveldb_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plyvel", None)
    leveldb(tmp_path / "db")
    with pytest.raises(BadData, match="plyvel") as caught:
        open_database(tmp_path / "db", "LEVELDB")
    assert caught.value.code == "ND0505"


def test_two_sources_share_a_database(tmp_path: Path) -> None:
    path = make_lmdb(tmp_path / "db", numbered(5))
    first, second = open_database(path, "LMDB"), open_database(path, "LMDB")
    assert first.read(1, 2) != second.read(3, 2)
    first.close()
    assert [key for key, _ in second.read(4, 3)] == [b"00000004", b"00000000", b"00000001"]
    second.close()
    open_database(path, "LMDB").close()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    records = [(b"%08d" % i, bytes([i % 256]) * 700) for i in range(2500)]  # larger than the first map
    assert write_lmdb(tmp_path / "db", iter(records)) == 2500
    database = open_database(tmp_path / "db", "LMDB")
    assert database.read(0, 2500) == records
    assert [path.name for path in tmp_path.iterdir()] == ["db"]
    assert [path.name for path in (tmp_path / "db").iterdir()] == ["data.mdb"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def records():
        yield b"0", b"1"
        raise RuntimeError("the images are gone")

    with pytest.raises(RuntimeError):
        write_lmdb(tmp_path / "db", records())
    assert not list(tmp_path.iterdir())
    write_lmdb(tmp_path / "db", [(b"0", b"1")])
    with pytest.raises(BadData, match="exists already"):
        write_lmdb(tmp_path / "db", [])


def test_a_database_made_anew_is_read_anew(tmp_path: Path) -> None:
    first = open_database(make_lmdb(tmp_path / "db", numbered(2)), "LMDB")
    first.close()
    first.close()
    del first
    shutil.rmtree(tmp_path / "db")
    forgotten = open_database(make_lmdb(tmp_path / "db", numbered(3)), "LMDB")
    assert forgotten.entries == 3
    del forgotten
    shutil.rmtree(tmp_path / "db")
    assert open_database(make_lmdb(tmp_path / "db", numbered(4)), "LMDB").entries == 4


def test_leveldb(tmp_path: Path) -> None:
    plyvel = pytest.importorskip("plyvel")
    with plyvel.DB(str(tmp_path / "db"), create_if_missing=True) as db:
        for i, value in enumerate(numbered(5)):
            db.put(b"%08d" % i, value)
    first, second = open_database(tmp_path / "db", "LEVELDB"), open_database(tmp_path / "db", "LEVELDB")
    assert first.entries == 5
    assert [key for key, _ in first.read(3, 3)] == [b"00000003", b"00000004", b"00000000"]
    assert second.read(0, 1)[0][1] == numbered(1)[0]
    first.close()
    second.close()
    (tmp_path / "db/CURRENT").write_text("nowhere\n")
    with pytest.raises(BadData, match="LevelDB") as caught:
        open_database(tmp_path / "db", "LEVELDB")
    assert caught.value.code == "ND0502"
