"""Pooling in ONNX Runtime against plain loops over Caffe's windows, at every corner: many layers on one small image."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor

import numpy as np
import pytest

from netdef.deploy import runtime
from netdef.diagnostics import Source
from netdef.graph import Options, load
from netdef.targets.onnx import COMMON_OPSET, OLDEST_OPSET, emit

Window = tuple[int, int, int, str]
"""Kernel, stride, pad, round mode."""


def windows(size: int) -> Iterator[Window]:
    for kernel in (1, 2, 3, 5):
        for stride in (1, 2, 3, 4):
            for pad in range(min(kernel, 3)):
                if kernel <= size + 2 * pad:
                    yield kernel, stride, pad, "CEIL"
                    yield kernel, stride, pad, "FLOOR"


def count(size: int, window: Window) -> int:
    """How many windows there are on one axis (SEMANTICS: Shapes and windows)."""
    kernel, stride, pad, mode = window
    steps = (size + 2 * pad - kernel) / stride
    windows = (ceil(steps) if mode == "CEIL" else floor(steps)) + 1
    return windows - 1 if pad and (windows - 1) * stride >= size + pad else windows


def pooled(x: np.ndarray, window: Window, method: str) -> np.ndarray:
    kernel, stride, pad, _ = window
    rows, columns = x.shape[2:]
    top = np.empty((*x.shape[:2], count(rows, window), count(columns, window)))
    for i in range(top.shape[2]):
        for j in range(top.shape[3]):
            h, w = i * stride - pad, j * stride - pad
            part = x[:, :, max(h, 0) : h + kernel, max(w, 0) : w + kernel]
            if method == "MAX":
                top[:, :, i, j] = part.max(axis=(2, 3), initial=np.finfo(np.float32).min)
            else:
                divisor = (min(h + kernel, rows + pad) - h) * (min(w + kernel, columns + pad) - w)
                top[:, :, i, j] = part.sum(axis=(2, 3)) / divisor if divisor else np.nan
    return top


def net(height: int, width: int, method: str, chosen: list[Window]) -> str:
    layers = [
        f'layer {{ name: "p{i}" type: "Pooling" bottom: "x" top: "p{i}" pooling_param {{ pool: {method} '
        f"kernel_size: {kernel} stride: {stride} pad: {pad} round_mode: {mode} }} }}"
        for i, (kernel, stride, pad, mode) in enumerate(chosen)
    ]
    shape = f"shape {{ dim: 2 dim: 2 dim: {height} dim: {width} }}"
    return f'layer {{ name: "in" type: "Input" top: "x" input_param {{ {shape} }} }}\n' + "\n".join(layers)


@pytest.mark.parametrize("opset", [OLDEST_OPSET, COMMON_OPSET])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(("height", "width"), [(5, 5), (6, 9), (7, 4), (8, 8), (5, 11)])
def test_every_window_is_caffes(height: int, width: int, method: str, opset: int) -> None:
    chosen = list(windows(min(height, width)))
    graph = load(Source("pool.prototxt", net(height, width, method, chosen)), Options(phase="TEST"))
    x = np.random.default_rng(height * width).standard_normal((3, 2, height, width), np.float32) - 1
    found = runtime.session(emit(graph, {}, opset=opset))({"x": x})
    for i, window in enumerate(chosen):
        expected = pooled(x, window, method)
        known = np.isfinite(expected)  # an AVE window without any value is 0/0 in Caffe
        assert found[f"p{i}"].shape == expected.shape, window
        assert np.allclose(found[f"p{i}"][known], expected[known], rtol=1e-5, atol=1e-6), window
