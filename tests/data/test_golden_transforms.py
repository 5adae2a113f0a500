"""Do the data layers give what real Caffe's gave?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netdef.data.loader import Loader
from netdef.data.probe import probe, prober
from netdef.data.source import open_source
from netdef.graph import Options, load
from tests.golden_cases import arrays, cases, prototxt

CASES = cases("transforms")


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@pytest.mark.parametrize("place", ["working folder", "folder of the prototxt"])
def test_equals_caffe(case: dict[str, Any], place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = prototxt(case)
    monkeypatch.chdir(path.parent if place == "working folder" else tmp_path)
    graph = load(path, Options(case["phase"], probe=prober(path)))
    (node,) = graph.nodes
    expected = arrays(case)
    names = [name.partition(".")[2] for name in expected]
    probed = probe(node.layer, base_dir=path.parent)
    with Loader(open_source(node.layer, phase=case["phase"], base_dir=path.parent, name=node.name)) as loader:
        for forward in range(len(expected[f"top.{names[0]}"])):
            batch = dict(zip([blob.name for blob in node.tops], loader.next_batch(), strict=True))
            for name in names:
                np.testing.assert_array_equal(batch[name], expected[f"top.{name}"][forward])
                assert batch[name].dtype == np.float32
    assert probed.shapes == tuple(batch[blob.name].shape for blob in node.tops)
    assert not probed.diagnostics
