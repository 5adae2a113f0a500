"""How many golden forward cases does ONNX Runtime compute as real Caffe did, of how many?

    python -m tests.benchmarks.golden_in_onnx [OPSET]

A case holds where every blob is within 1e-5 of its largest value. What has no meaning in a model that predicts (losses,
metrics, Silence, DummyData) is counted apart, and so are the cases whose second forward goes on with an earlier state.
"""

from __future__ import annotations

import sys

import pytest

from netdef.diagnostics import NetdefError
from netdef.graph.deploy import deploy
from netdef.targets.onnx import COMMON_OPSET
from tests.targets.onnx.test_onnx_golden import LAYERS, MEANINGFUL, NETS, OTHER_VALUES, agrees, emitted, graph_of


def holds(case: dict[str, object], opset: int) -> bool:
    """Whether the model of a case gives Caffe's values; says what is wrong where it doesn't."""
    layer = case["category"] == "layers"
    with pytest.MonkeyPatch.context() as patch:
        try:
            graph = graph_of(case, patch)
            graph = graph if layer else deploy(graph)
            return agrees(case, graph, emitted(case, graph, opset), "top" if layer else "blob") > 0
        except (AssertionError, NetdefError) as fault:
            print(f"{case['name']}: {fault}")
            return False


def main() -> None:
    """Count, and print."""
    opset = int(sys.argv[1]) if len(sys.argv) > 1 else COMMON_OPSET
    layers = [case for case in MEANINGFUL if case["name"] not in OTHER_VALUES]
    for title, cases in (("layers", layers), ("nets", NETS)):
        print(f"{title}: {sum(holds(case, opset) for case in cases)} of {len(cases)} hold at opset {opset}")
    print(f"without a meaning: {len(LAYERS) - len(MEANINGFUL)}; with an earlier state: {len(OTHER_VALUES)}")


if __name__ == "__main__":
    main()
