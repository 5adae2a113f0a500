"""What does `netdef predict` cost beside a plain ONNX Runtime script that does the same? Prints the ratios.

python tests/benchmarks/bench_predict.py [--nets googlenet] [--batches 1,32] [--rounds 15]

Both sides read the same JPEG files, resize them, subtract a mean, run the same model and take the best five classes,
in the same process, turn by turn. `serial` is a plain loop over all that; `computing` is its time in ONNX Runtime and
the arithmetic alone, on pixels that were read before: what nothing can beat.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from netdef.deploy import export
from netdef.deploy.pictures import Preparation, Recipe, mean_values
from netdef.deploy.predict import best, rows, scores_of
from netdef.deploy.runner import open_onnx
from netdef.graph import Options, load

EXAMPLES = Path(__file__).parents[2] / "examples"
MEAN = (104.0, 117.0, 123.0)


def make_images(folder: Path, count: int) -> list[Path]:
    """Smooth noise as JPEG files of 500 x 375."""
    generator = np.random.default_rng(0)
    paths = []
    for index in range(count):
        coarse = generator.integers(0, 256, (12, 16, 3), np.uint8)
        paths.append(folder / f"{index:03}.jpg")
        cv2.imwrite(str(paths[-1]), cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC))
    return paths


class Plain:
    """What one would write by hand."""

    def __init__(self, model: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]
        self.mean = np.array(MEAN, np.float32)

    def read(self, path: Path) -> np.ndarray:
        _, _, height, width = self.input.shape
        pixels = cv2.resize(cv2.imread(str(path)), (width, height)).astype(np.float32)
        return (pixels - self.mean).transpose(2, 0, 1)

    def run(self, batch: list[np.ndarray]) -> np.ndarray:
        (scores,) = self.session.run(None, {self.input.name: np.stack(batch)})
        return np.argsort(-scores, axis=1)[:, :5]


def compare(name: str, batch: int, rounds: int, folder: Path) -> None:
    model = folder / f"{name}.onnx"
    if not model.exists():
        export(load(EXAMPLES / name / "deploy.prototxt", Options(phase="TEST")), model, verify=False)
    paths = make_images(folder, max(16, 2 * batch))
    plain, runner = Plain(model), open_onnx(model)
    preparation = Preparation(Recipe(mean=mean_values(MEAN)), runner.sizes)
    output = scores_of(runner)
    read = [plain.read(path) for path in paths]

    def ours() -> list[int]:
        return [best(row[output], (), 5)[0].index for _, row in rows(runner, preparation, paths, batch=batch)]

    def serial() -> list[int]:
        tops = [plain.run([plain.read(p) for p in paths[i : i + batch]]) for i in range(0, len(paths), batch)]
        return [int(top[0]) for top in np.concatenate(tops)]

    def computing() -> list[int]:
        tops = [plain.run(read[i : i + batch]) for i in range(0, len(paths), batch)]
        return [int(top[0]) for top in np.concatenate(tops)]

    assert ours() == serial() == computing()
    turns = [[timed(side) for side in (ours, serial, computing)] for _ in range(rounds)]
    mine, whole, floor = (statistics.median(column) / len(paths) * 1e3 for column in zip(*turns, strict=True))
    ratios = [statistics.median(turn[0] / turn[i] for turn in turns) for i in (1, 2)]
    print(
        f"{name:10} batch {batch:3}: netdef {mine:7.2f} ms, serial {whole:7.2f} ms, computing {floor:7.2f} ms an image;"
        f" netdef/serial {ratios[0]:.3f}, netdef/computing {ratios[1]:.3f}"
    )


def timed(work: Callable[[], list[int]]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", default="googlenet")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    print(f"onnxruntime {onnxruntime.__version__}, CPU, {args.rounds} turns")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.nets.split(","):
            for batch in map(int, args.batches.split(",")):
                compare(name, batch, args.rounds, Path(folder))


if __name__ == "__main__":
    main()
