"""Do the commands that only read texts stay free of what takes longer to import than all that they do?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIGITS = "examples/digits/train_val.prototxt"
HEAVY = ("torch", "onnx", "onnxruntime", "numpy")

RUN = """
import sys
from netdef.cli import main
sys.argv = ["netdef", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", *(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)
"""

CASES = {
    "check a net": ("check", DIGITS),
    "check a solver": ("check", "examples/digits/solver.prototxt"),
    "check as json": ("check", "--format", "json", DIGITS),
    "check as sarif": ("check", "--format", "sarif", DIGITS),
    "fmt": ("fmt", "--check", DIGITS),
    "summary": ("summary", DIGITS),
    "summary as json": ("summary", "--format", "json", "examples/googlenet/deploy.prototxt"),
    "summary with absent data": (
        "summary",
        "--phase",
        "TRAIN",
        "--shape",
        "data=32x3x224x224",
        "examples/googlenet/train_val.prototxt",
    ),
    "explain": ("explain", "ND0304"),
    "help": ("--help",),
}


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES)
def test_nothing_heavy_is_imported(arguments: tuple[str, ...]) -> None:
    code = RUN.format(arguments=arguments, heavy=HEAVY)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stderr.splitlines()[-1] == "loaded:"
