"""How are the records of a Caffe database (LMDB or LevelDB) read in order, and round again?"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol
from weakref import finalize

import lmdb

from netdef.data.faults import BadData

Backend = Literal["LMDB", "LEVELDB"]
Record = tuple[bytes, bytes]


class Walk(Protocol):
    """A place in a database that moves from record to record in the order of the keys."""

    def first(self) -> bool:
        """Go to the first record; False where there is none."""

    def next(self) -> bool:
        """Go to the next record; False after the last."""

    def item(self) -> Record:
        """Key and value of the record here."""


class Database:
    """An open database: `entries` records, read by their number in the order of the keys.

    One thread at a time. Reading on from the last record is fast; a jump walks over the keys between.
    """

    def __init__(self, path: Path, entries: int, walk: Walk, shared: _Shared) -> None:
        self.path, self.entries = path, entries
        self._walk = walk
        self._release = finalize(self, shared.close)  # at the latest when nobody holds this any more
        self._position = -1

    def read(self, start: int, count: int) -> list[Record]:
        """Records `start` to `start + count`, counted on beyond the last one from the first again."""
        records = []
        for number in range(start, start + count):
            self._go(number % self.entries)
            records.append(self._walk.item())
        return records

    def close(self) -> None:
        """Let the database go; it is closed when no other source reads it."""
        self._release()

    def _go(self, number: int) -> None:
        if number < self._position or self._position < 0:
            self._step(self._walk.first())
            self._position = 0
        while self._position < number:
            self._step(self._walk.next())
            self._position += 1

    def _step(self, there: bool) -> None:
        if not there:
            raise BadData("ND0503", f"{self.path}: fewer records than the database's own count of {self.entries:,}")


def open_database(path: Path, backend: Backend) -> Database:
    """Open the database in the folder `path` for reading.

    Raises BadData: ND0502 no such database, ND0503 truncated, ND0504 empty, ND0505 plyvel is missing, ND0506 the
    other kind of database.
    """
    _check_kind(path, backend)
    shared = _Shared.open(path.resolve(), backend)
    entries, walk = shared.handle.walk()
    if not entries:
        shared.close()
        raise BadData("ND0504", f"{path}: the database is empty", help="fill it: `netdef data import`")
    return Database(path, entries, walk, shared)


def _check_kind(path: Path, backend: Backend) -> None:
    if not path.is_dir():
        raise BadData("ND0502", f"{path}: {backend} databases are folders, and this is a file")
    if not os.access(path, os.X_OK):
        raise BadData("ND0502", f"{path}: no permission to look into this folder")
    is_lmdb, is_leveldb = (path / "data.mdb").exists(), (path / "CURRENT").exists()
    if backend == "LMDB" and not is_lmdb:
        if is_leveldb:
            raise BadData("ND0506", f"{path}: a LevelDB database, read as LMDB", help="write `backend: LEVELDB`")
        raise BadData("ND0502", f"{path}: no LMDB database: it holds no file data.mdb")
    if backend == "LEVELDB" and not is_leveldb:
        if is_lmdb:
            raise BadData("ND0506", f"{path}: an LMDB database, read as LEVELDB", help="write `backend: LMDB`")
        raise BadData("ND0502", f"{path}: no LevelDB database: it holds no file CURRENT")


class _Handle(Protocol):
    def walk(self) -> tuple[int, Walk]: ...
    def close(self) -> None: ...


class _Shared:
    """An open database and how many sources read it: neither library opens the same one twice in a process."""

    _open: dict[Path, _Shared] = {}  # noqa: RUF012 - the one registry of this process
    _lock = Lock()

    def __init__(self, path: Path, handle: _Handle) -> None:
        self.path, self.handle, self.users = path, handle, 0

    @classmethod
    def open(cls, path: Path, backend: Backend) -> _Shared:
        with cls._lock:
            if path not in cls._open:
                cls._open[path] = cls(path, _Lmdb(path) if backend == "LMDB" else _LevelDb(path))
            shared = cls._open[path]
            shared.users += 1
            return shared

    def close(self) -> None:
        with self._lock:
            self.users -= 1
            if not self.users:
                self._open.pop(self.path, None)
                self.handle.close()


class _Lmdb:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # No lock file: a data set is read, often from a disk that may not be written.
            self.env = lmdb.open(str(path), readonly=True, lock=False, readahead=True, create=False)
        except lmdb.Error as fault:
            raise BadData("ND0502", f"{path}: not an LMDB database: {_reason(fault)}") from fault
        self._check_size()

    def _check_size(self) -> None:
        """LMDB maps the file into memory: a page beyond its end would kill the process when it is read."""
        needed = (self.env.info()["last_pgno"] + 1) * self.env.stat()["psize"]
        found = (self.path / "data.mdb").stat().st_size
        if found < needed:
            self.env.close()
            raise BadData(
                "ND0503",
                f"{self.path}: the database is cut short: {found:,} bytes of {needed:,}",
                help="copy or make it again",
            )

    def walk(self) -> tuple[int, Walk]:
        return self.env.stat()["entries"], _LmdbWalk(self.env, self.path)

    def close(self) -> None:
        self.env.close()


class _LmdbWalk:
    def __init__(self, env: lmdb.Environment, path: Path) -> None:
        self.cursor = env.begin().cursor()
        self.path = path

    def first(self) -> bool:
        return bool(self._try(self.cursor.first))

    def next(self) -> bool:
        return bool(self._try(self.cursor.next))

    def item(self) -> Record:
        key, value = self._try(self.cursor.item)
        return bytes(key), bytes(value)

    def _try(self, step: Any) -> Any:
        try:
            return step()
        except lmdb.Error as fault:
            raise BadData("ND0503", f"{self.path}: damaged database: {_reason(fault)}") from fault


class _LevelDb:
    def __init__(self, path: Path) -> None:
        try:
            plyvel: Any = import_module("plyvel")
        except ImportError as fault:
            help = "pip install 'netdef[leveldb]'; or convert the database to LMDB with Caffe's tools"
            raise BadData("ND0505", f"{path}: reading LevelDB needs the package plyvel", help=help) from fault
        self.path, self.error = path, plyvel.Error
        try:
            self.db = plyvel.DB(os.fspath(path), create_if_missing=False)
        except (plyvel.Error, OSError) as fault:
            raise BadData("ND0502", f"{path}: cannot be opened as LevelDB: {_reason(fault)}") from fault

    def walk(self) -> tuple[int, Walk]:
        """LevelDB keeps no count: walk over the keys once."""
        walk = _LevelDbWalk(self)
        entries, there = 0, walk.first()
        while there:
            entries, there = entries + 1, walk.next()
        return entries, walk

    def close(self) -> None:
        self.db.close()


class _LevelDbWalk:
    def __init__(self, database: _LevelDb) -> None:
        self.iterator, self.database = database.db.raw_iterator(), database

    def first(self) -> bool:
        return self._go(self.iterator.seek_to_first)

    def next(self) -> bool:
        return self._go(self.iterator.next)

    def item(self) -> Record:
        return self.iterator.key(), self.iterator.value()

    def _go(self, step: Any) -> bool:
        try:
            step()
            return bool(self.iterator.valid())
        except self.database.error as fault:
            raise BadData("ND0503", f"{self.database.path}: damaged database: {_reason(fault)}") from fault


def _reason(fault: Exception) -> str:
    """What the library says: lmdb after the path, plyvel in bytes."""
    said = fault.args[0] if fault.args else fault
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said).rpartition(": ")[2]
