"""Does any damage to a file end in a diagnostic or in weights that fit their shapes, quickly and without a crash?"""

import random
from math import prod
from pathlib import Path

import numpy as np
import pytest

from netdef.diagnostics import NetdefError
from netdef.weights import read_run_state, read_solverstate, read_weights, write_run_state, write_weights

GOLDEN = Path(__file__).parents[1] / "golden"
HOSTILE = (b"\xff" * 9 + b"\x7f", b"\x80", b"\x00", b"\xff\xff\xff\x7f", b"[-1]", b"9" * 30, b"\x3a", b"\x2d")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """`data` with some bits turned, bytes replaced, cut out, doubled or moved."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(found) or 1)
        match rng.randrange(6):
            case 0:
                found[at : at + 1] = bytes([(found[at] if found else 0) ^ 1 << rng.randrange(8)])
            case 1:
                found[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                del found[at : at + rng.choice((1, 4, 100))]
            case 3:
                found[at:at] = rng.choice(HOSTILE)
            case 4:
                found[at:at] = found[at : at + rng.choice((1, 8, 200))]
            case _:
                del found[at:]
    return bytes(found)


def near_the_start(data: bytes, rng: random.Random) -> bytes:
    """Mutations where the structure is, not the numbers."""
    size = min(len(data), 600)
    return mutated(data[:size], rng) + data[size:]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    weights = read_weights(GOLDEN / "nets/legacy_v1/weights.caffemodel")
    write_weights(folder / "w.safetensors", weights.layers)
    write_run_state(folder / "run", {"rng": np.arange(9), "x": np.ones(3, np.float32)}, {"a": [1, 2.5]})
    snapshots = GOLDEN / "snapshots"
    return {
        "v1": (GOLDEN / "nets/legacy_v1/weights.caffemodel", read_weights),
        "v2": (snapshots / "sgd_bn_binaryproto/snap_iter_15.caffemodel", read_weights),
        "hdf5": (snapshots / "sgd_hdf5/snap_iter_15.caffemodel.h5", read_weights),
        "safetensors": (folder / "w.safetensors", read_weights),
        "state": (snapshots / "adam_binaryproto/snap_iter_15.solverstate", read_solverstate),
        "hdf5 state": (snapshots / "sgd_hdf5/snap_iter_15.solverstate.h5", read_solverstate),
        "run state": (folder / "run", read_run_state),
    }


@pytest.mark.parametrize("mutate", [mutated, near_the_start])
@pytest.mark.parametrize("kind", ["v1", "v2", "hdf5", "safetensors", "state", "hdf5 state", "run state"])
def test_damage_ends_well(originals, tmp_path, kind, mutate):
    source, read = originals[kind]
    data, path = source.read_bytes(), tmp_path / "f"
    for seed in range(150):
        path.write_bytes(mutate(data, random.Random(seed)))
        try:
            check(read(path))
        except NetdefError as fault:
            if not all(str(path) in d.message and d.code.startswith("ND06") for d in fault.diagnostics):
                pytest.fail(f"seed {seed}: {fault}")


def check(found) -> None:
    if hasattr(found, "layers"):
        arrays = [data for layer in found.layers for data in layer.blobs]
    elif hasattr(found, "history"):
        arrays = list(found.history)
    else:
        arrays = list(found[0].values())
    for data in arrays:
        assert data.size == prod(data.shape)
        assert len(data.tobytes()) == data.nbytes  # every number can be read
