"""Do the example nets have as many parameters as the papers and their reference implementations?"""

from __future__ import annotations

from pathlib import Path

import pytest

from netdef.graph import Options, load
from netdef.ir import Phase, Shape

EXAMPLES = Path(__file__).parents[2] / "examples"
# Caffe's LeNet and CIFAR-10 quick by hand arithmetic, AlexNet and VGG-16 as in Caffe's model zoo, GoogLeNet as
# bvlc_googlenet without and with its auxiliary classifiers, ResNets as in torchvision.
DEPLOYED = {
    "digits": 151_306,  # 320 + 18,496 + 131,200 + 1,290
    "lenet": 431_080,  # 520 + 25,050 + 400,500 + 5,010
    "cifar10_quick": 145_578,
    "alexnet": 60_965_224,
    "vgg16": 138_357_544,
    "googlenet": 6_998_552,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
}
TRAINED = {**DEPLOYED, "googlenet": 13_378_280}
STATISTICS = {"resnet18": 2 * 4_800 + 20, "resnet50": 2 * 26_560 + 53}  # torchvision's running means and variances
DATA = {"digits": (64, 1, 8, 8), "lenet": (64, 1, 28, 28), "cifar10_quick": (100, 3, 32, 32)}


def test_every_example_is_here() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/solver.prototxt")} == set(DEPLOYED)


@pytest.mark.parametrize("name", DEPLOYED)
def test_deployed(name: str) -> None:
    net = load(EXAMPLES / name / "deploy.prototxt", Options("TEST"))
    assert net.cost.parameters == DEPLOYED[name]
    assert net.cost.statistics == STATISTICS.get(name, 0)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("name", TRAINED)
def test_trained(name: str, phase: Phase) -> None:
    image = DATA.get(name, (32, 3, 227, 227) if name == "alexnet" else (32, 3, 224, 224))
    data = Shape((None, *image[1:]))
    net = load(EXAMPLES / name / "train_val.prototxt", Options(phase, shapes={"data": data}))
    assert net.cost.parameters == TRAINED[name]
    assert ("accuracy" in net.blobs) == (phase == "TEST")
