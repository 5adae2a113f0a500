"""How much memory and time does reading a large .caffemodel take, against its size and a plain copy of the file?

    python tests/benchmarks/bench_weights.py [SIZE_MB [FOLDER]]

Each measurement runs in a process of its own. "Memory" is the growth of the greatest resident size, so that
pages of the mapped file count too. Reading sums every number, so that no byte is left unread.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from netdef.weights import LayerWeights, read_weights, write_weights

FORMS = ("packed", "unpacked", "double", "caffemodel.h5", "safetensors")


def generate(path: Path, size: int, form: str) -> None:
    """VGG-like: one blob of four fifths of the size, and nine small ones."""
    rng = np.random.default_rng(0)
    counts = [size * 4 // 5, *([size // 45] * 9)]
    layers = (
        LayerWeights(f"l{i}", "InnerProduct", (rng.random((count // 1000, 1000), np.float32),))
        for i, count in enumerate(counts)
    )
    if form in ("packed", "unpacked", "double"):
        with_form(path, layers, form)
    else:
        write_weights(path, layers)


def with_form(path: Path, layers, form: str) -> None:
    from netdef.schema.weights_pb2 import BlobProto, BlobShape, Layer
    from netdef.weights.wire import header

    with path.open("wb") as stream:
        stream.write(b"\x0a\x03net")
        for layer in layers:
            data = layer.blobs[0]
            shape = BlobProto(shape=BlobShape(dim=data.shape)).SerializeToString()
            if form == "packed":
                body = header(5, data.nbytes) + data.tobytes()
            elif form == "double":
                body = header(8, 2 * data.nbytes) + data.astype("<f8").tobytes()
            else:
                records = np.empty((data.size, 5), np.uint8)
                records[:, 0] = 0x2D
                records[:, 1:] = data.reshape(-1, 1).view(np.uint8)
                body = records.tobytes()
            head = Layer(name=layer.name).SerializeToString() + header(7, len(body) + len(shape))
            stream.write(header(100, len(head) + len(body) + len(shape)) + head)
            stream.write(body + shape)


def measure(path: str) -> None:
    """In a fresh process: megabytes and seconds that reading takes."""
    before = peak_kib()
    start = time.perf_counter()
    weights = read_weights(path)
    opened = time.perf_counter() - start
    total = sum(float(data.sum()) for blobs in weights.values() for data in blobs)
    elapsed = time.perf_counter() - start
    grown = (peak_kib() - before) / 1024
    sys.stdout.write(f"{grown} {opened} {elapsed} {total}")


def peak_kib() -> int:
    """The greatest resident size so far. Not getrusage: its ru_maxrss takes over the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main(size_mb: int, folder: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for form in FORMS:
            path = Path(place) / f"w.{form}"
            generate(path, size_mb * 1_000_000 // {"unpacked": 5, "double": 8}.get(form, 4), form)
            report(path, form)
            path.unlink()


def report(path: Path, form: str) -> None:
    start = time.perf_counter()
    shutil.copyfile(path, path.with_suffix(".copy"))
    copied = time.perf_counter() - start
    path.with_suffix(".copy").unlink()
    command = [sys.executable, __file__, "--measure", str(path)]
    grown, opened, elapsed, _ = map(float, subprocess.check_output(command).split())
    size = path.stat().st_size / 2**20
    sys.stdout.write(
        f"{form:14} {size:6.0f} MiB  memory {grown:6.0f} MiB = {grown / size:.2f} x size  "
        f"open {opened:.3f} s  open and sum {elapsed:.3f} s  copy of the file {copied:.3f} s\n"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
    else:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 550, sys.argv[2] if len(sys.argv) > 2 else None)
