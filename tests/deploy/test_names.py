"""Names that look like those netdef makes must not be taken for them: torch and ONNX name values each in their way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netdef.deploy import export, runtime
from netdef.graph import Options, load

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "fc" type: "Power" bottom: "x" top: "fc" power_param { power: 2 scale: 3 shift: -1 } }
layer { name: "fc@fc" type: "Power" bottom: "fc" top: "fc" power_param { scale: 2 } }
layer { name: "fc_2" type: "Power" bottom: "fc" top: "fc_2" power_param { shift: 10 } }
layer { name: "fc_3" type: "Power" bottom: "fc_2" top: "fc_3" power_param { shift: 100 } }
layer { name: "fc/Mul" type: "Eltwise" bottom: "fc" bottom: "fc_2" bottom: "fc_3" top: "fc.weight" }
"""


def test_values_with_clashing_names(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    report = export(load(path, Options(phase="TEST")), tmp_path / "m.onnx")
    assert report.proof.largest is not None
    assert report.proof.largest.max_rel < 1e-6
    (y,) = runtime.session(tmp_path / "m.onnx")({"x": np.ones((1, 3), np.float32)}).values()
    assert (y == 8 + 18 + 118).all()
