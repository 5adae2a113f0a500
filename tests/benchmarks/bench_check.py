"""How long does `netdef check` take, against protobuf's own parse of the file? Whole processes, in turn.

    python tests/benchmarks/bench_check.py [FILE [RUNS]]

Without FILE a GoogLeNet of 2,400 lines: the example, laid out long. Prints medians, in wall and in processor time,
and their ratios; the aim is at most 3.5.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "googlenet" / "train_val.prototxt"
LINES = 2_400
AIM = 3.5

PARSE = """
import sys
from google.protobuf import text_format
from netdef.schema import netdef_pb2
text_format.Parse(open(sys.argv[1]).read(), netdef_pb2.NetParameter())
"""


def stretched(path: Path) -> str:
    """The example with the blocks that stand on one line laid over three, until it has as many lines as asked for."""
    lines = path.read_text().splitlines()
    missing, out = LINES - len(lines), []
    for line in lines:
        head, brace, rest = line.partition("{")
        body, end, after = rest.rpartition("}")
        if missing > 0 and brace and end and body.strip() and not after.strip() and "#" not in line:
            out += [head + "{", body, "}"]
            missing -= 2
        else:
            out.append(line)
    return "\n".join(out) + "\n"


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds of a whole process, by the clock and of the processor."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    wall, after = time.perf_counter() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, spent


def main(file: Path, runs: int) -> None:
    sides = {
        "protobuf": [sys.executable, "-c", PARSE, str(file)],
        "netdef check": [sys.executable, "-m", "netdef", "check", str(file)],
    }
    for command in sides.values():
        measure(command)  # warms the disk's cache and compiles to .pyc
    times = {side: [] for side in sides}
    for _ in range(runs):
        for side, command in sides.items():
            times[side].append(measure(command))
    medians = {side: [statistics.median(column) for column in zip(*rows, strict=True)] for side, rows in times.items()}
    print(f"{file.name}: {len(file.read_text().splitlines())} lines, {runs} runs each")
    for side, (wall, spent) in medians.items():
        print(f"{side:14} {wall:.3f} s by the clock, {spent:.3f} s of the processor")
    wall, spent = (a / b for a, b in zip(medians["netdef check"], medians["protobuf"], strict=True))
    print(f"ratio {wall:.2f} by the clock, {spent:.2f} of the processor (aim: at most {AIM})")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    runs = int(arguments[1]) if len(arguments) > 1 else 15
    if arguments:
        main(Path(arguments[0]).resolve(), runs)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "googlenet.prototxt"
            path.write_text(stretched(EXAMPLE))
            main(path, runs)
