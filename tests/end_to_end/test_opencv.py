"""A second oracle: OpenCV 4 reads Caffe's files with a reader of its own; netdef computes what it computes.

`python -m tests.end_to_end.test_opencv` prints the largest error of each model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import torch
from google.protobuf import text_format
from numpy.typing import NDArray

import netdef
from netdef.ir import Graph
from netdef.layers import registry
from netdef.schema import netdef_pb2 as pb
from netdef.targets.torch import build_module, load_arrays, net_layers, shared_blobs
from netdef.weights import match, read_weights
from tests.golden_cases import GOLDEN

CORPUS = Path(__file__).parents[2].parent / "shared/corpus/weights"
TOLERANCE = 1e-4
GOLDEN_NETS = ("inception", "lenet", "residual", "fcn", "legacy_v1")
"""Of the golden nets those that OpenCV reads: it neither chooses layers by phase nor knows Embed and LSTM."""
REAL = ("lenet_mnist", "mtcnn_det1", "mtcnn_det2", "mtcnn_det3", "ultraface_slim320")
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Compared:
    """The blobs of one model that both gave, and the largest error of each, relative to the blob's largest value."""

    errors: dict[str, float]

    @property
    def largest(self) -> float:
        return max(self.errors.values())


@pytest.mark.parametrize("name", GOLDEN_NETS)
def test_golden_nets(name: str, tmp_path: Path) -> None:
    folder = GOLDEN / "nets" / name
    compared = compare(folder / "net.prototxt", folder / "weights.caffemodel", tmp_path)
    assert compared.largest < TOLERANCE, compared.errors


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")
@pytest.mark.parametrize("name", REAL)
def test_real_models(name: str, tmp_path: Path) -> None:
    compared = compare(*real(name), tmp_path)
    assert compared.largest < TOLERANCE, compared.errors


def real(name: str) -> tuple[Path, Path]:
    folder = CORPUS / name
    return next(folder.glob("*.prototxt")), next(folder.glob("*.caffemodel"))


def compare(net: Path, weights: Path, scratch: Path) -> Compared:
    """Run both on the same random input, and compare every blob that has a layer to itself at its end."""
    path = scratch / "net.prototxt"
    path.write_text(text_format.MessageToString(_readable(net)))
    graph = netdef.load_net(path, phase="TEST")
    rng = np.random.default_rng(7)
    inputs = {b.name: rng.standard_normal(b.shape.known_sizes(), np.float32) for b in graph.inputs}
    ours = _ours(graph, weights, inputs)
    theirs = _theirs(path, weights, inputs, list(ours))
    assert theirs, "nothing to compare"
    return Compared({name: _error(ours[name], value) for name, value in theirs.items()})


def _readable(net: Path) -> pb.NetParameter:
    """The net without the layers that BVLC's Caffe does not have, and those behind them."""
    message = pb.NetParameter()
    text_format.Parse(net.read_text(), message, allow_unknown_field=True)
    lost: set[str] = set()
    kept = []
    for layer in message.layer:
        if layer.type not in registry() or lost & set(layer.bottom):
            lost |= set(layer.top)
        else:
            kept.append(layer)
    del message.layer[:]
    message.layer.extend(kept)
    return message


def _ours(graph: Graph, weights: Path, inputs: dict[str, Array]) -> dict[str, Array]:
    """By layer name, the last value of each blob that the layer makes alone."""
    module = build_module(graph, outputs=[blob.id for node in graph.nodes for blob in node.tops])
    report = match(net_layers(graph), [read_weights(weights)], shared=shared_blobs(graph))
    assert report.left == ()
    load_arrays(module, graph, report.arrays)
    names = module.meta["inputs"]
    with torch.no_grad():
        found = module(**{names[b.id]: torch.from_numpy(inputs[b.name]) for b in graph.inputs})
    last = {blob.name: node for node in graph.nodes for blob in node.tops}
    single = [node for node in graph.nodes if len(node.tops) == 1 and node.bottoms]
    ends = [node for node in single if last[node.tops[0].name] is node]
    return {node.name: found[node.tops[0].id].numpy() for node in ends}


def _theirs(path: Path, weights: Path, inputs: dict[str, Array], layers: list[str]) -> dict[str, Array]:
    net = cv2.dnn.readNetFromCaffe(str(path), str(weights))
    net.enableFusion(False)
    for name, value in inputs.items():
        net.setInput(value, name)
    there = set(net.getLayerNames())
    asked = [name for name in layers if name in there]
    return dict(zip(asked, net.forward(asked), strict=True))


def _error(ours: Array, theirs: Array) -> float:
    assert ours.size == theirs.size, (ours.shape, theirs.shape)
    difference = np.abs(ours.ravel() - np.ravel(theirs)).max()
    return float(difference / max(np.abs(theirs).max(), 1e-3))


def main() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        for title, files in _all():
            compared = compare(*files, Path(scratch))
            click.echo(f"{title:18} {len(compared.errors):3} blobs, largest relative error {compared.largest:.1e}")


def _all() -> Iterator[tuple[str, tuple[Path, Path]]]:
    for name in GOLDEN_NETS:
        yield name, (GOLDEN / "nets" / name / "net.prototxt", GOLDEN / "nets" / name / "weights.caffemodel")
    if CORPUS.is_dir():
        yield from ((name, real(name)) for name in REAL)


if __name__ == "__main__":
    main()
