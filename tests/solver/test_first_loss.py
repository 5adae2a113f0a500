"""Is a first loss that chance cannot explain told, and no other?"""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from netdef.diagnostics import Source
from netdef.graph import Options, load
from netdef.solver.events import Displayed, Event, Output, Warned
from netdef.solver.first_loss import FirstLoss

NET = """
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {scores} }} }} }}
layer {{ name: "labels" type: "Input" top: "y" input_param {{ shape {{ {labels} }} }} }}
layer {{ name: "loss" type: "{type}" bottom: "x" bottom: "y" top: "loss" {param} }}
"""

BY_BATCH, BY_NONE = (f"loss_param {{ normalization: {name} }}" for name in ("BATCH_SIZE", "NONE"))


def warned(
    value: float, *, iteration: int = 0, spatial: bool = False, param: str = "", type: str = "SoftmaxWithLoss"
) -> list[Event]:
    sizes = ("dim: 4 dim: 10 dim: 3 dim: 3", "dim: 4 dim: 1 dim: 3 dim: 3") if spatial else ("dim: 4 dim: 10", "dim: 4")
    text = NET.format(scores=sizes[0], labels=sizes[1], type=type, param=param)
    told: list[Event] = []
    watch = FirstLoss(load(Source("net.prototxt", text), Options(phase="TRAIN")), told.append)
    outputs = (Output("loss", np.array(value), 1.0),)
    watch(Displayed(iteration, value, 0.1, outputs, None, 0.0))
    watch(Displayed(iteration + 10, 1000.0, 0.1, outputs, None, 1.0))
    return told


@pytest.mark.parametrize(
    ("value", "options", "warns"),
    [
        pytest.param(log(10), {}, False, id="just chance"),
        pytest.param(2.9, {}, False, id="a little above"),
        pytest.param(87.3, {}, True, id="data that are not scaled"),
        pytest.param(0.01, {}, True, id="knows already"),
        pytest.param(87.3, {"iteration": 500}, False, id="a resumed run"),
        pytest.param(log(10), {"spatial": True}, False, id="for each pixel, VALID"),
        pytest.param(9 * log(10), {"spatial": True, "param": BY_BATCH}, False, id="BATCH_SIZE"),
        pytest.param(36 * log(10), {"spatial": True, "param": BY_NONE}, False, id="NONE"),
        pytest.param(log(10), {"spatial": True, "param": BY_NONE}, True, id="NONE, too low"),
        pytest.param(87.3, {"type": "HingeLoss"}, False, id="another loss"),
    ],
)  # fmt: skip
def test_warns(value: float, options: dict[str, object], warns: bool) -> None:
    told = warned(value, **options)  # type: ignore[arg-type]
    assert len(told) == warns
    for event in told:
        assert isinstance(event, Warned)
        assert event.diagnostic.code == "ND0831"
        assert f"begins at {value:.4g}" in event.diagnostic.message


def test_help_depends_on_the_side() -> None:
    (above,), (below,) = warned(87.3), warned(0.01)
    assert isinstance(above, Warned)
    assert isinstance(below, Warned)
    assert "guessing among 10 classes costs 2.303" in above.diagnostic.message
    assert "scale" in above.diagnostic.help[0]
    assert "label" in below.diagnostic.help[0]
