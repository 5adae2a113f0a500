"""Does training go on where nothing can be printed any more: no terminal, no reader, no room for the log?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netdef.solver.snapshot import existing
from tests.solver import small_run

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm"}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="terminals and files of POSIX")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    small_run.make(tmp_path, "display: 1", solver=small_run.SOLVER.replace("snapshot: 5", "snapshot: 0"))
    return tmp_path


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "netdef", "train", str(folder / "solver.prototxt"), *more]


def saved(folder: Path) -> list[int]:
    """The iterations of the snapshots, the first one first."""
    return [iteration for iteration, _ in existing(str(folder / "out" / "snap"))][::-1]


def test_a_terminal_that_goes_away(folder: Path) -> None:
    """What SIGHUP asks for is done, and the run goes on to its end."""
    import pty

    child, terminal = pty.fork()
    if not child:
        os.execve(sys.executable, command(folder, "--iterations", "400"), ENVIRONMENT)
    said = b""
    while b"Iteration 3," not in said:
        said += os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    hung_up, last = saved(folder)
    assert 3 <= hung_up < last == 400


def test_a_reader_that_has_seen_enough(folder: Path) -> None:
    process = subprocess.Popen(command(folder), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"Iteration 0, Testing")
    process.stdout.close()
    _, errors = process.communicate()
    assert (process.returncode, errors, saved(folder)) == (0, b"", [20])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_a_log_that_fills_the_disk(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(command(folder), env=ENVIRONMENT, stdout=full, stderr=full, check=False)
    assert (run.returncode, saved(folder)) == (0, [20])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_an_error_that_nobody_hears_keeps_its_exit_code(folder: Path) -> None:
    (folder / "solver.prototxt").write_text("no solver")
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command(folder), env=ENVIRONMENT, stderr=full, check=False).returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
def test_another_command_fails_where_its_last_words_find_no_room() -> None:
    """Held back until the end, they were nobody's error but Python's, which has an exit code of its own for it."""
    code = """
import importlib, sys
cli = importlib.import_module("netdef.cli.main")
cli.group = lambda standalone_mode: sys.stdout.write("x") and 0
cli.main()
"""
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", code], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (run.returncode, run.stderr) == (3, "error[ND0016]: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_process_without_streams(folder: Path, closed: str) -> None:
    for code, more in ((0, "--iterations 1"), (1, "--weights nowhere")):
        text = f"{sys.executable} -m netdef train solver.prototxt {more} {closed}"
        run = subprocess.run(["bash", "-c", text], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False)
        assert run.returncode == code, run.stderr
        assert b"ND0001" not in run.stderr
    assert saved(folder) == [1]
