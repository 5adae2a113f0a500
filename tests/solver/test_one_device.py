"""Does a layer, or the loop, compute with tensors of two devices? On a GPU that is an error, or a wait for a copy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch.utils.backend_registration

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no backends in Python",
)
def test_nothing_mixes_devices_or_waits() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.solver.made_up_gpu"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"(\d+) nets; refused: mixing, a number, a size\n", done.stdout)
    assert found, done.stdout
    assert int(found[1]) > 300
