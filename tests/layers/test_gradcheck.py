"""Is every gradient the slope of the forward pass? Finite differences in float64, away from kinks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from netdef.graph import Options
from netdef.layers import registry
from netdef.schema import weights_pb2
from netdef.targets.torch import build_module
from tests.graph.compiling import graph

RTOL = 1e-3
EPS = 1e-6


@dataclass(frozen=True)
class Case:
    """A layer, its bottoms as ``name=shape``, and what is special in it.

    Attributes:
        layer: body of the layer, without bottoms.
        bottoms: those that a gradient flows to, by name, and how they are filled.
        given: the others, with their values.
        rtol: how far the layer's gradient may be from the slope, where Caffe's formula is not the exact one.
    """

    layer: str
    bottoms: dict[str, Callable[[], Tensor]]
    given: dict[str, Tensor] = field(default_factory=dict)
    tops: str = "y"
    phase: str = "TRAIN"
    rtol: float = RTOL


def spread(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 0) -> Callable[[], Tensor]:
    """Values with equal gaps in random places: none is near 0 or another one, so no comparison is undecided."""

    def make() -> Tensor:
        count = int(np.prod(shape))
        places = np.random.default_rng(seed).permutation(count)
        step = (high - low) / count
        return torch.from_numpy((low + step * (places + 0.37)).reshape(shape))

    return make


def labels(*values: float, shape: tuple[int, ...] | None = None) -> Tensor:
    found = torch.tensor(values, dtype=torch.float64)
    return found if shape is None else found.reshape(shape)


X = {"x": spread(2, 2, 3, 2)}
PLANE = {"x": spread(1, 2, 4, 4)}
ROWS = {"x": spread(3, 4)}
PROBABLE = {"x": spread(3, 4, low=0.1, high=0.9)}
PAIR = {"a": spread(2, 3, 2, 2, seed=1), "b": spread(2, 3, 2, 2, low=-1.1, high=0.87, seed=2)}
CONT = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
CLASSES = {"label": labels(1, 3, 0)}
CONV = "weight_filler { type: 'xavier' } bias_filler { type: 'uniform' }"
RECURRENT = (
    "recurrent_param { num_output: 2 weight_filler { type: 'uniform' min: -1 } bias_filler { type: 'uniform' } }"
)

CASES = {
    "AbsVal": Case("type: 'AbsVal'", X),
    "BNLL": Case("type: 'BNLL'", X),
    "BatchNorm train": Case("type: 'BatchNorm'", X),
    "BatchNorm test": Case("type: 'BatchNorm' batch_norm_param { eps: 0.5 }", X, phase="TEST"),
    "BatchReindex": Case("type: 'BatchReindex'", ROWS, {"i": labels(2, 0, 2, 1)}),
    "Bias": Case("type: 'Bias' bias_param { filler { type: 'uniform' } }", X),
    "Bias of two": Case("type: 'Bias'", {"x": spread(2, 2, 2, 2), "b": spread(2)}),
    "Clip": Case("type: 'Clip' clip_param { min: -0.52 max: 0.51 }", X),
    "Concat": Case("type: 'Concat' concat_param { axis: 1 }", {"a": spread(2, 3, 2), "b": spread(2, 1, 2)}),
    "ContrastiveLoss": Case(
        "type: 'ContrastiveLoss' contrastive_loss_param { margin: 1 }",
        {"a": spread(4, 3, seed=1), "b": spread(4, 3, seed=2)},
        {"label": labels(1, 0, 0, 1)},
        rtol=2e-3,  # the distance in the divisor gets 1e-4 added
    ),
    "ContrastiveLoss legacy": Case(
        "type: 'ContrastiveLoss' contrastive_loss_param { margin: 2 legacy_version: true }",
        {"a": spread(4, 3, seed=1), "b": spread(4, 3, seed=2)},
        {"label": labels(1, 0, 0, 1)},
    ),
    "Convolution": Case(
        f"type: 'Convolution' convolution_param {{ num_output: 2 kernel_size: 3 pad: 1 stride: 2 {CONV} }}", PLANE
    ),
    "Convolution grouped, dilated": Case(
        f"type: 'Convolution' convolution_param {{ num_output: 4 kernel_size: 2 group: 2 dilation: 2 {CONV} }}",
        {"x": spread(1, 4, 4, 4)},
    ),
    "Crop": Case(
        "type: 'Crop' crop_param { axis: 2 offset: 1 }",
        {"x": spread(1, 2, 4, 4)},
        {"r": torch.zeros(1, 2, 2, 3, dtype=torch.float64)},
    ),
    "Deconvolution": Case(
        f"type: 'Deconvolution' convolution_param {{ num_output: 2 kernel_size: 3 stride: 2 pad: 1 {CONV} }}",
        {"x": spread(1, 2, 3, 3)},
    ),
    "Dropout test": Case("type: 'Dropout'", ROWS, phase="TEST"),
    "Dropout train": Case("type: 'Dropout'", ROWS),
    "ELU": Case("type: 'ELU' elu_param { alpha: 0.7 }", X),
    "Eltwise SUM": Case("type: 'Eltwise' eltwise_param { operation: SUM coeff: 2 coeff: -1 }", PAIR),
    "Eltwise PROD": Case("type: 'Eltwise' eltwise_param { operation: PROD }", PAIR),
    "Eltwise MAX": Case("type: 'Eltwise' eltwise_param { operation: MAX }", PAIR),
    "Embed": Case(
        "type: 'Embed' embed_param { num_output: 3 input_dim: 4 weight_filler { type: 'uniform' }"
        " bias_filler { type: 'uniform' } }",
        {},
        {"i": labels(1, 3, 0, 1)},
    ),
    "EuclideanLoss": Case("type: 'EuclideanLoss'", PAIR),
    "Exp": Case("type: 'Exp' exp_param { base: 3 scale: 0.5 shift: 1 }", X),
    "Filter": Case("type: 'Filter'", ROWS, {"s": labels(1, 0, 1)}),
    "Flatten": Case("type: 'Flatten' flatten_param { axis: 2 }", X),
    "HingeLoss": Case("type: 'HingeLoss'", ROWS, CLASSES),
    "HingeLoss L2": Case("type: 'HingeLoss' hinge_loss_param { norm: L2 }", ROWS, CLASSES),
    "Im2col": Case("type: 'Im2col' convolution_param { kernel_size: 2 stride: 2 pad: 1 }", {"x": spread(1, 2, 3, 3)}),
    "InfogainLoss": Case("type: 'InfogainLoss' infogain_loss_param { source: 'h.binaryproto' }", ROWS, CLASSES),
    "InnerProduct": Case(f"type: 'InnerProduct' inner_product_param {{ num_output: 3 {CONV} }}", ROWS),
    "InnerProduct transposed": Case(
        f"type: 'InnerProduct' inner_product_param {{ num_output: 3 transpose: true {CONV} }}", ROWS
    ),
    "LRN across": Case("type: 'LRN' lrn_param { local_size: 3 alpha: 0.7 beta: 0.6 k: 2 }", {"x": spread(1, 5, 2, 2)}),
    "LRN within": Case(
        "type: 'LRN' lrn_param { local_size: 3 alpha: 0.7 beta: 0.6 norm_region: WITHIN_CHANNEL }",
        {"x": spread(1, 2, 4, 3)},
    ),
    "LSTM": Case(f"type: 'LSTM' {RECURRENT}", {"x": spread(3, 2, 2)}, {"cont": CONT}),
    "LSTMUnit": Case(
        "type: 'LSTMUnit'",
        {"c": spread(1, 2, 3), "g": spread(1, 2, 12)},
        {"cont": labels(1, 0, shape=(1, 2))},
        tops="c1 h1",
    ),
    "Log": Case("type: 'Log' log_param { base: 3 scale: 2 shift: 1 }", {"x": spread(2, 3, low=0.2)}),
    "MVN": Case("type: 'MVN'", X),
    "MVN without variance": Case("type: 'MVN' mvn_param { normalize_variance: false across_channels: true }", X),
    "MultinomialLogisticLoss": Case("type: 'MultinomialLogisticLoss'", PROBABLE, CLASSES),
    "PReLU": Case("type: 'PReLU'", X),
    "PReLU shared": Case("type: 'PReLU' prelu_param { channel_shared: true }", X),
    "Parameter": Case("type: 'Parameter' parameter_param { shape { dim: 2 dim: 3 } }", {}),
    "Pooling MAX": Case("type: 'Pooling' pooling_param { kernel_size: 3 stride: 2 }", PLANE),
    "Pooling AVE": Case("type: 'Pooling' pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }", PLANE),
    "Pooling STOCHASTIC": Case(
        "type: 'Pooling' pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }",
        {"x": spread(1, 2, 4, 4, low=0.1)},
    ),
    "Pooling global": Case("type: 'Pooling' pooling_param { global_pooling: true }", X),
    "Power": Case("type: 'Power' power_param { power: 1.7 scale: 0.5 shift: 2 }", X),
    "RNN": Case(f"type: 'RNN' {RECURRENT}", {"x": spread(3, 2, 2)}, {"cont": CONT}),
    "ReLU": Case("type: 'ReLU' relu_param { negative_slope: 0.2 }", X),
    "Reduction SUM": Case("type: 'Reduction' reduction_param { axis: 1 coeff: 2 }", X),
    "Reduction ASUM": Case("type: 'Reduction' reduction_param { operation: ASUM axis: 1 }", X),
    "Reduction SUMSQ": Case("type: 'Reduction' reduction_param { operation: SUMSQ axis: 2 }", X),
    "Reduction MEAN": Case("type: 'Reduction' reduction_param { operation: MEAN }", X),
    "Reshape": Case("type: 'Reshape' reshape_param { shape { dim: 0 dim: -1 } }", X),
    "SPP": Case("type: 'SPP' spp_param { pyramid_height: 2 }", PLANE),
    "Scale": Case("type: 'Scale' scale_param { bias_term: true filler { type: 'uniform' } }", X),
    "Scale of two": Case("type: 'Scale' scale_param { axis: 0 }", {"x": spread(2, 3, 2), "s": spread(2, 3)}),
    "Sigmoid": Case("type: 'Sigmoid'", X),
    "SigmoidCrossEntropyLoss": Case("type: 'SigmoidCrossEntropyLoss'", ROWS, {"t": labels(*[0, 1] * 6, shape=(3, 4))}),
    "Slice": Case("type: 'Slice' slice_param { slice_point: 1 }", X, tops="a b"),
    "Softmax": Case("type: 'Softmax'", X),
    "SoftmaxWithLoss": Case("type: 'SoftmaxWithLoss'", ROWS, CLASSES),
    "SoftmaxWithLoss ignoring": Case("type: 'SoftmaxWithLoss' loss_param { ignore_label: 3 }", ROWS, CLASSES),
    "Split": Case("type: 'Split'", ROWS, tops="a b"),
    "Swish": Case("type: 'Swish' swish_param { beta: 1.5 }", X),
    "TanH": Case("type: 'TanH'", X),
    "Tile": Case("type: 'Tile' tile_param { axis: 1 tiles: 3 }", {"x": spread(2, 2, 2)}),
}

WITHOUT = {
    "Accuracy": "a count",
    "ArgMax": "places",
    "HDF5Output": "no top",
    "Python": "the user's, checked in test_python",
    "Silence": "no top",
    "Threshold": "a step: Caffe has no backward for it",
}
"""Types that have no gradient."""


@pytest.fixture(autouse=True)
def _infogain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = weights_pb2.BlobProto(num=1, channels=1, height=4, width=4, data=[(i * 7 % 5) / 5 for i in range(16)])
    (tmp_path / "h.binaryproto").write_bytes(matrix.SerializeToString())
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", CASES.values(), ids=[name.replace(" ", "-") for name in CASES])
def test_gradient(case: Case) -> None:
    values = {name: make() for name, make in case.bottoms.items()}
    net = graph(prototxt(case, values), Options(phase=case.phase))  # type: ignore[arg-type]
    module = build_module(net, rng=np.random.default_rng(3)).double()
    _settle_statistics(module)
    learned = {name: _away_from_zero(p) for name, p in module.named_parameters()}
    names = list(values)

    def forward(*tensors: Tensor) -> tuple[Tensor, ...]:
        torch.manual_seed(5)
        bottoms = dict(zip(names, tensors, strict=False))
        params = dict(zip(learned, tensors[len(names) :], strict=True))
        found = torch.func.functional_call(module, params, (), {**bottoms, **case.given})
        return tuple(top for top in found.values() if top.requires_grad)

    leaves = [tensor.clone().requires_grad_() for tensor in (*values.values(), *learned.values())]
    assert leaves
    assert torch.autograd.gradcheck(forward, leaves, eps=EPS, rtol=case.rtol, atol=1e-6)


def prototxt(case: Case, values: dict[str, Tensor]) -> str:
    """The layer behind inputs for all its bottoms."""
    bottoms = {**values, **case.given}
    shapes = [f"input: '{n}' input_shape {{ {' '.join(f'dim: {d}' for d in v.shape)} }}" for n, v in bottoms.items()]
    ends = [f"bottom: '{name}'" for name in bottoms] + [f"top: '{name}'" for name in case.tops.split()]
    return f"force_backward: true {' '.join(shapes)} layer {{ name: 'l' {case.layer} {' '.join(ends)} }}"


def _settle_statistics(module: torch.nn.Module) -> None:
    """Give BatchNorm's statistics values, so that normalising in TEST is no identity."""
    for name, buffer in module.named_buffers():
        if name.endswith(("mean", "variance", "factor")):
            buffer.copy_(torch.linspace(0.5, 1.5, buffer.numel(), dtype=torch.float64).reshape(buffer.shape))


def _away_from_zero(param: Tensor) -> Tensor:
    """The values of the filler, or others where it leaves zeros."""
    value = param.detach().clone()
    return value if value.any() else torch.linspace(-0.8, 0.9, value.numel(), dtype=torch.float64).reshape(value.shape)


def test_every_type_is_checked() -> None:
    checked = {name.split()[0] for name in CASES}
    due = {name for name, kind in registry().items() if not kind.is_source}
    assert due - checked == set(WITHOUT)
    assert not checked & set(WITHOUT)
