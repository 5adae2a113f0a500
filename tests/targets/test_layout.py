"""Do weights and images lie channels last, also where there is one channel alone?"""

from __future__ import annotations

import pytest
import torch

from netdef.targets.torch.layout import channels_last

CASES = {
    "several channels": ((2, 3, 4, 5), (60, 1, 15, 3)),
    "one channel": ((2, 1, 4, 5), (20, 1, 5, 1)),
    "not an image": ((2, 3, 4), (12, 4, 1)),
}


@pytest.mark.parametrize(("shape", "strides"), CASES.values(), ids=CASES)
def test_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    values = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    found = channels_last(values)
    assert found.stride() == strides
    assert torch.equal(found, values)
