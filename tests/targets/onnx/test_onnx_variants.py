"""Fields and ranks that the golden cases leave out: ONNX Runtime against torch at the oldest and the newest opset."""

from __future__ import annotations

import pytest

from netdef.deploy import prove, runtime
from netdef.deploy.twin import torch_twin
from netdef.diagnostics import Source
from netdef.graph import Options, load
from netdef.targets.onnx import OLDEST_OPSET, emit
from netdef.targets.torch import tensors

FILLED = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" }'

Case = tuple[str, str, str]
"""The layer's type (with the number of its tops if not 1), the shapes of its inputs, and its fields."""

CASES: list[Case] = [
    ("AbsVal", "2", ""),
    ("ArgMax", "2x7", "argmax_param { top_k: 3 out_max_val: true }"),
    ("ArgMax", "2x3x4", "argmax_param { axis: -1 top_k: 2 }"),
    ("ArgMax", "2x3x4x5", "argmax_param { axis: 2 out_max_val: true top_k: 4 }"),
    ("BNLL", "2x3x4x2x2", ""),
    ("BatchNorm", "2x3", "batch_norm_param { use_global_stats: true eps: 0.1 }"),
    ("BatchNorm", "2x3x4x5x2", "batch_norm_param { use_global_stats: true }"),
    ("BatchNorm", "4x3x4x5", "batch_norm_param { use_global_stats: false eps: 0.01 }"),
    ("BatchNorm", "4x3x5", "batch_norm_param { use_global_stats: false eps: 0.01 }"),
    ("Bias", "2x3x4", "bias_param { axis: -1 filler { type: 'gaussian' } }"),
    ("Bias", "2x3x4", "bias_param { axis: 1 num_axes: -1 filler { type: 'gaussian' } }"),
    ("Bias", "2x3x4", "bias_param { num_axes: 0 filler { type: 'gaussian' } }"),
    ("Bias", "5x3x4 5", "bias_param { axis: 0 }"),
    ("Clip", "2", "clip_param { min: -0.25 max: 0.5 }"),
    ("Concat", "2x3 2x4 2x1", "concat_param { axis: -1 }"),
    ("Concat", "2x3x2", ""),
    (
        "Convolution",
        "2x4x9",
        "convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 FILL }",
    ),
    ("Convolution", "2x2x5x4x6", "convolution_param { num_output: 2 kernel_size: 2 dilation: 2 pad: 1 FILL }"),
    (
        "Convolution",
        "2x3x9x8",
        "convolution_param { num_output: 4 kernel_h: 1 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2 FILL }",
    ),
    ("Convolution", "2x3x7x7", "convolution_param { num_output: 4 kernel_size: 3 axis: -3 FILL }"),
    ("Convolution", "2x3x7x7", "convolution_param { num_output: 4 kernel_size: 3 axis: -2 FILL }"),
    ("Convolution", "2x3x7x7", "convolution_param { num_output: 4 kernel_size: 3 axis: 3 FILL }"),
    ("Convolution", "2x3", "convolution_param { num_output: 4 FILL }"),
    ("Convolution", "2x4x3", "convolution_param { num_output: 4 axis: 2 FILL }"),
    ("Crop", "2x3x6x7 2x3x4x5", "crop_param { axis: -1 offset: 2 }"),
    ("Crop", "2x3x6x7 2x2x4x5", "crop_param { axis: 1 offset: 1 offset: 0 offset: 2 }"),
    (
        "Deconvolution",
        "2x4x5",
        "convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 FILL }",
    ),
    ("Deconvolution", "2x2x3x4x2", "convolution_param { num_output: 2 kernel_size: 2 stride: 2 FILL }"),
    (
        "Deconvolution",
        "2x3x5x4",
        "convolution_param { num_output: 4 kernel_h: 2 kernel_w: 3 stride_h: 3 stride_w: 1 pad_h: 0 pad_w: 2 FILL }",
    ),
    (
        "Deconvolution",
        "2x3x5x4",
        "convolution_param { num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3 FILL }",
    ),
    ("Dropout", "2x3", ""),
    ("ELU", "2x3", "elu_param { alpha: 0 }"),
    ("ELU", "2", "elu_param { alpha: 2.5 }"),
    ("Eltwise", "2x3 2x3 2x3", "eltwise_param { operation: MAX }"),
    ("Eltwise", "2x3 2x3 2x3", "eltwise_param { operation: PROD }"),
    ("Eltwise", "2x3 2x3 2x3", "eltwise_param { operation: SUM coeff: 1 coeff: -1 coeff: 0.5 }"),
    ("Eltwise", "2x3 2x3", "eltwise_param { operation: SUM coeff: 1 coeff: -1 }"),
    ("Embed", "2x3x2", "embed_param { num_output: 4 input_dim: 5 FILL }"),
    ("Exp", "2x3", "exp_param { base: 3 scale: 0.5 shift: -1 }"),
    ("Exp", "2", "exp_param { shift: 1 }"),
    ("Flatten", "2x3x4x5", "flatten_param { axis: -2 }"),
    ("Flatten", "2x3x4x5", "flatten_param { axis: 0 end_axis: 1 }"),
    ("Flatten", "2x3x4x5", "flatten_param { axis: 2 end_axis: -1 }"),
    ("Flatten", "2x3x4x5", "flatten_param { axis: 1 end_axis: 1 }"),
    ("Flatten", "2x3x4x5", "flatten_param { axis: 0 }"),
    ("Flatten", "2", "flatten_param { axis: 0 }"),
    ("Im2col", "2x3x6x5", "convolution_param { kernel_size: 2 dilation: 2 pad: 1 }"),
    ("Im2col", "2x3x6x5", "convolution_param { kernel_size: 2 axis: 2 }"),
    ("Im2col", "2x3x2x6x5", "convolution_param { kernel_size: 2 stride: 2 pad: 1 axis: -3 }"),
    ("Im2col", "2x6x5", "convolution_param { kernel_size: 3 axis: 0 }"),
    ("InnerProduct", "2x3x4", "inner_product_param { num_output: 5 axis: -1 FILL }"),
    ("InnerProduct", "2x3x4x2", "inner_product_param { num_output: 5 axis: 2 transpose: true FILL }"),
    ("InnerProduct", "2x3", "inner_product_param { num_output: 5 bias_term: false FILL }"),
    ("InnerProduct", "2x3x4x2", "inner_product_param { num_output: 1 FILL }"),
    ("LRN", "2x4x5x5", "lrn_param { local_size: 7 alpha: 2 beta: 0.5 k: 3 }"),
    ("LRN", "2x4x5x5", "lrn_param { local_size: 1 alpha: 2 beta: 0.75 }"),
    ("LRN", "2x4x5x6", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 5 alpha: 2 beta: 0.5 }"),
    ("LRN", "2x4x5x6", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 1 }"),
    ("LSTM", "5x2x3 5x2", "recurrent_param { num_output: 4 FILL }"),
    ("LSTM", "5x2x3x2 5x2 2x6", "recurrent_param { num_output: 4 FILL }"),
    ("LSTM", "1x2x3 1x2", "recurrent_param { num_output: 4 FILL }"),
    ("RNN", "5x2x3 5x2", "recurrent_param { num_output: 4 FILL }"),
    ("RNN", "4x2x3 4x2 2x2x3", "recurrent_param { num_output: 4 FILL }"),
    ("RNN", "3x1x2 3x1 1x1", "recurrent_param { num_output: 4 FILL }"),
    ("LSTM", "2x2x3 2x2 2x2", "recurrent_param { num_output: 4 FILL }"),
    ("Log", "2x3", "log_param { base: 10 scale: 0.01 shift: 8 }"),
    ("MVN", "2x3x4x5", "mvn_param { normalize_variance: false across_channels: true }"),
    ("MVN", "2x3x4x5", "mvn_param { eps: 0.1 }"),
    ("MVN", "2x3x4", "mvn_param { eps: 0.1 }"),
    ("PReLU", "2x3", "prelu_param { filler { type: 'gaussian' } }"),
    ("PReLU", "2x3x4x5x2", "prelu_param { filler { type: 'gaussian' } }"),
    ("PReLU", "2x3x4", "prelu_param { channel_shared: true }"),
    ("Pooling", "2x3x7x7", "pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }"),
    (
        "Pooling",
        "2x3x7x6",
        "pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3 pad_h: 2 pad_w: 1 }",
    ),
    ("Pooling:2", "2x3x7x6", "pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }"),
    ("Pooling:2", "2x3x7x6", "pooling_param { pool: MAX global_pooling: true }"),
    ("Power", "2x3", "power_param { power: 3 scale: -2 shift: 1 }"),
    ("Power", "2x3", "power_param { power: -1 shift: 20 }"),
    ("Power", "2", "power_param { power: 0 }"),
    ("Power", "2x3", "power_param { power: 0.5 scale: 0.1 shift: 8 }"),
    ("Reduction", "2x3x4", "reduction_param { axis: -1 operation: SUMSQ coeff: 0.5 }"),
    ("Reduction", "2x3x4", "reduction_param { axis: 1 operation: ASUM coeff: -2 }"),
    ("Reduction", "2x3x4", "reduction_param { axis: 0 operation: MEAN }"),
    ("Reduction", "2x3x4", "reduction_param { axis: 2 }"),
    ("ReLU", "2", "relu_param { negative_slope: -0.5 }"),
    ("Reshape", "2x3x4x5", "reshape_param { shape { dim: 0 dim: -1 dim: 2 } }"),
    ("Reshape", "2x3x4x5", "reshape_param { shape { dim: 12 dim: -1 } axis: 1 num_axes: 2 }"),
    ("Reshape", "2x3x4x5", "reshape_param { shape { dim: 1 dim: 1 } axis: -1 num_axes: 0 }"),
    ("Reshape", "2x3x4x5", "reshape_param { shape { dim: -1 dim: 5 } }"),
    ("Reshape", "2x3x4x5", "reshape_param { shape { dim: 1 } axis: 0 num_axes: 0 }"),
    ("Reshape", "2x6", "reshape_param { shape { dim: 3 dim: 2 } axis: 1 }"),
    ("Scale", "2x3x4", "scale_param { axis: -1 filler { type: 'gaussian' } }"),
    ("Scale", "2x3x4", "scale_param { axis: 1 num_axes: -1 bias_term: true filler { type: 'gaussian' } }"),
    ("Scale", "2x3x4", "scale_param { num_axes: 0 bias_term: true }"),
    ("Scale", "5x3x4 5", "scale_param { axis: 0 bias_term: false }"),
    ("Scale", "5x3x4 5x3", "scale_param { axis: 0 }"),
    ("Sigmoid", "2", ""),
    ("Slice:3", "2x7x3", "slice_param { slice_point: 1 slice_point: 4 axis: 1 }"),
    ("Slice:2", "2x7x4", "slice_param { axis: -1 }"),
    ("Slice:3", "2x6", "slice_param { slice_dim: 1 }"),
    ("Softmax", "2x3x4", "softmax_param { axis: -1 }"),
    ("Softmax", "2x3x4", "softmax_param { axis: 0 }"),
    ("Split:2", "2x3", ""),
    ("SPP", "2x3x9x7", "spp_param { pyramid_height: 3 pool: MAX }"),
    ("SPP", "2x3x9x7", "spp_param { pyramid_height: 3 pool: AVE }"),
    ("SPP", "2x3x9x7", "spp_param { pyramid_height: 1 pool: AVE }"),
    ("Swish", "2x3", "swish_param { beta: 2 }"),
    ("TanH", "2", ""),
    ("Threshold", "2x3", "threshold_param { threshold: 0.3 }"),
    ("Tile", "2x3x4", "tile_param { axis: -1 tiles: 3 }"),
    ("Tile", "2x3", "tile_param { tiles: 2 }"),
    ("BatchReindex", "4x3 5", ""),
    ("Parameter", "", "parameter_param { shape { dim: 2 dim: 3 } }"),
    ("Parameter", "", "parameter_param { shape { } }"),
]


def prototxt(case: Case) -> str:
    kind, shapes, fields = case
    name, _, count = kind.partition(":")
    inputs = [f"x{i}" for i in range(len(shapes.split()))]
    dims = [" ".join(f"dim: {size}" for size in shape.split("x")) for shape in shapes.split()]
    layers = [
        f'layer {{ name: "{blob}" type: "Input" top: "{blob}" input_param {{ shape {{ {dim} }} }} }}'
        for blob, dim in zip(inputs, dims, strict=True)
    ]
    bottoms = " ".join(f'bottom: "{blob}"' for blob in inputs)
    tops = " ".join(f'top: "y{i}"' for i in range(int(count or 1)))
    return "\n".join(
        [*layers, f'layer {{ name: "l" type: "{name}" {bottoms} {tops} {fields.replace("FILL", FILLED)} }}']
    )


def ids() -> list[str]:
    return [f"{kind} {shapes} {fields}"[:90] for kind, shapes, fields in CASES]


@pytest.mark.parametrize("opset", [OLDEST_OPSET, runtime.newest_runnable()])
@pytest.mark.parametrize("case", CASES, ids=ids())
def test_onnx_runtime_computes_what_torch_does(case: Case, opset: int) -> None:
    graph = load(Source("net.prototxt", prototxt(case)), Options(phase="TEST"))
    module, _ = torch_twin(graph, [], seed=1)
    arrays = {id: tensor.detach().numpy() for id, tensor in tensors(module, graph).items()}
    model = emit(graph, arrays, opset=opset)
    proof = prove(graph, module, model, batch_sizes=(1, 2, 5) if case[:2] != ("BatchNorm", "4x3x5") else (2, 5))
    assert {blob.name for blob in proof.blobs} == {blob.id for blob in graph.outputs}
