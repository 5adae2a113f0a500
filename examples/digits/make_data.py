"""Makes train_lmdb and test_lmdb from digits.npz: run `python examples/digits/make_data.py` to make them again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netdef.data.datum import encode
from netdef.data.write import write_lmdb

HERE = Path(__file__).resolve().parent


def is_test(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Every fifth image of those sorted by class: 360 of 1,797, with each class in its share."""
    mask = np.zeros(len(labels), bool)
    mask[np.argsort(labels, kind="stable")[::5]] = True
    return mask


def main() -> None:
    """Write both databases beside this file."""
    with np.load(HERE / "digits.npz") as file:
        images, labels = file["images"], file["labels"]
    test = is_test(labels)
    for name, chosen in (("train_lmdb", ~test), ("test_lmdb", test)):
        shutil.rmtree(HERE / name, ignore_errors=True)
        rows = zip(images[chosen], labels[chosen], strict=True)
        write_lmdb(
            HERE / name,
            ((b"%08d" % i, encode(image.tobytes(), (1, 8, 8), int(label))) for i, (image, label) in enumerate(rows)),
        )


if __name__ == "__main__":
    main()
