"""How is a new LMDB database written, whole or not at all?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import lmdb

from netdef.data.database import Record
from netdef.data.faults import BadData

FIRST_MAP_BYTES = 1 << 20
RECORDS_A_COMMIT = 1000  # as Caffe's convert_imageset
MAX_KEY_BYTES = 511  # LMDB's limit
_T = TypeVar("_T")


def write_lmdb(path: Path, records: Iterable[Record]) -> int:
    """Write keys and values to a new database in the folder `path`; returns how many.

    The folder appears under its name only when all is on the disk. Raises BadData: ND0580 `path` exists, ND0581 the
    system refused (no space, no permission).
    """
    if path.exists():
        raise BadData("ND0580", f"{path} exists already", help="remove it first, or choose another name")
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    except OSError as fault:
        raise BadData("ND0581", f"{path}: {fault.strerror}", failed=True) from fault
    try:
        count = _fill(temporary, records)
        if not count:
            raise BadData("ND0504", f"{path}: no records to write")
        (temporary / "lock.mdb").unlink(missing_ok=True)
        temporary.chmod(0o755)
        temporary.rename(path)
    except (lmdb.Error, OSError) as fault:
        raise BadData("ND0581", f"{path}: {fault}", failed=True) from fault
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return count


def _fill(folder: Path, records: Iterable[Record]) -> int:
    count = 0
    with lmdb.open(str(folder), map_size=FIRST_MAP_BYTES, sync=False, mode=0o644) as env:
        for chunk in chunks(records, RECORDS_A_COMMIT):
            _commit(env, chunk)
            count += len(chunk)
        env.sync(True)
    return count


def _commit(env: lmdb.Environment, chunk: tuple[Record, ...]) -> None:
    """Put a chunk in one transaction, doubling the map until it fits."""
    while True:
        try:
            with env.begin(write=True) as transaction:
                for key, value in chunk:
                    transaction.put(key, value)
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])
        else:
            return


def chunks(items: Iterable[_T], size: int) -> Iterator[tuple[_T, ...]]:
    """The items in tuples of `size`, the last one shorter (itertools.batched, which Python 3.11 lacks)."""
    iterator = iter(items)
    while chunk := tuple(islice(iterator, size)):
        yield chunk
