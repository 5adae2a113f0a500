"""Do the public functions do what they say, to one who calls them from Python?"""

from __future__ import annotations

import pytest
import torch

import netdef
from tests.golden_cases import GOLDEN

NET, WEIGHTS = GOLDEN / "nets/lenet/net.prototxt", GOLDEN / "nets/lenet/weights.caffemodel"


@pytest.mark.parametrize("weights", [WEIGHTS, str(WEIGHTS), [WEIGHTS]], ids=["a path", "a text", "a list"])
def test_build_takes_weights_as_they_come(weights: object) -> None:
    net = netdef.load_net(NET)
    model = netdef.build(net, weights)  # type: ignore[arg-type]
    stored = netdef.read_weights(WEIGHTS)
    assert all(torch.equal(getattr(model, name).weight, torch.tensor(stored[name][0])) for name in ("conv1", "ip2"))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cuda:x"])
def test_build_for_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(netdef.NetdefError) as failure:
        netdef.build(netdef.load_net(NET), device=device)
    assert failure.value.diagnostics[0].code == "ND0711"
    assert device.removeprefix("cuda:") in failure.value.diagnostics[0].message


def test_every_public_name_is_there() -> None:
    assert all(getattr(netdef, name) is not None for name in netdef.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = netdef.nothing
