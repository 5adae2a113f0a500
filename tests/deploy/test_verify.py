from math import inf, nan

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from netdef.deploy import BlobError, prove, runtime
from netdef.deploy.inputs import trial
from netdef.deploy.twin import torch_twin
from netdef.deploy.verify import blob_error, check, require_close, with_rounding
from netdef.diagnostics import RunError, Source, error
from netdef.graph import Options, load
from netdef.graph.deploy import deploy
from netdef.targets.onnx import emit, sizes
from netdef.targets.torch import tensors

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def graph(text=NET):
    return deploy(load(Source("net.prototxt", text), Options(phase="TEST")))


def twins(net, batch=None):
    """The net in torch and in ONNX, with the same random weights."""
    module, _ = torch_twin(net, [], 0)
    arrays = {id: tensor.detach().numpy() for id, tensor in tensors(module, net).items()}
    return module, emit(net, arrays, opset=17, batch=batch)


@pytest.mark.parametrize(
    ("expected", "found", "absolute", "relative"),
    [
        pytest.param([1.0, 4.0], [1.0, 3.0], 1.0, 0.25, id="relative to the largest value, not to its own"),
        pytest.param([1.0, -4.0], [2.0, -4.0], 1.0, 0.25, id="the largest magnitude counts"),
        pytest.param([0.0, 0.0], [0.0, 1e-3], 1e-3, 1e-3, id="nothing but zeros: absolute"),
        pytest.param([1.0, nan], [1.0, nan], 0.0, 0.0, id="NaN equals NaN"),
        pytest.param([1.0, inf], [1.0, inf], 0.0, 0.0, id="infinity equals itself"),
        pytest.param([1.0, inf], [1.0, -inf], inf, inf, id="infinities of other signs"),
        pytest.param([1.0, 2.0], [1.0, nan], inf, inf, id="NaN on one side"),
        pytest.param([1.0, nan], [1.0, 2.0], inf, inf, id="NaN on the other side"),
        pytest.param([1.0, 2.0], [[1.0, 2.0]], inf, inf, id="another shape"),
        pytest.param([nan], [nan], 0.0, 0.0, id="no number at all"),
        pytest.param([], [], 0.0, 0.0, id="an empty blob"),
    ],
)
def test_blob_error(expected, found, absolute, relative):
    error = blob_error("b", "l", np.array(expected, np.float32), np.array(found, np.float32))
    assert (error.max_abs, error.max_rel) == pytest.approx((absolute, relative))


def test_the_first_blob_in_the_order_of_the_net_is_named():
    blobs = [
        BlobError(name, f"layer_{name}", (1,), error, error) for name, error in zip("abc", (0, 0.5, 1), strict=True)
    ]
    with pytest.raises(RunError) as caught:
        require_close(blobs)
    (found,) = caught.value.diagnostics
    assert found.code == "ND0908"
    assert 'part at blob "b" of layer "layer_b": relative error 0.5, allowed 0.0001 (2 of 3 blobs' in found.message
    assert caught.value.exit_code == 3


def test_what_rounding_does_to_torch_itself_is_let_through():
    require_close([BlobError("a", "a", (1,), 1.0, 5e-4, rounding=6e-5)])
    with pytest.raises(RunError, match=r"relative error 0.0007, allowed 0.0006 "):
        require_close([BlobError("a", "a", (1,), 1.0, 7e-4, rounding=6e-5)])
    with pytest.raises(RunError, match=r"allowed 0.0001 "):
        require_close([BlobError("a", "a", (1,), 1.0, 7e-4, rounding=inf)])


def test_rounding_is_measured_in_double_precision():
    net = graph(
        NET.replace("Softmax", "Power").replace(
            'bottom: "fc" top: "prob"', 'bottom: "fc" top: "prob" power_param { shift: 1e4 }'
        )
    )
    module, _ = twins(net)
    feeds = trial(net, sizes(net, None), 2, seed=0)
    (blob,) = with_rounding(module, [feeds], [BlobError("prob", "prob", (2, 5), 1.0, 1.0)])
    assert 1e-9 < blob.rounding < 2**-24  # half a unit in the last place, of values near 1e4


@pytest.mark.parametrize("error", [nan, inf])
def test_an_error_that_is_no_number_is_not_let_through(error):
    with pytest.raises(RunError, match=r"ND0908"):
        require_close([BlobError("a", "a", (1,), error, error)])


def test_every_blob_is_compared_in_both_back_ends():
    net = graph()
    proof = prove(net, *twins(net))
    for errors in (proof.blobs, proof.second):
        assert [blob.name for blob in errors] == ["conv@conv", "conv", "fc", "prob"]
        assert [blob.layer for blob in errors] == ["conv", "relu", "fc", "prob"]
        assert max(blob.max_rel for blob in errors) < 1e-5
    assert proof.batch_sizes == (1, 3)
    assert [blob.shape[0] for blob in proof.second] == [1] * 4
    assert not proof.second_left_out


def test_the_evaluator_is_asked_where_it_takes_seconds(monkeypatch):
    monkeypatch.setattr("netdef.deploy.verify.WORK_LIMIT", 100)
    net = graph()
    proof = prove(net, *twins(net))
    assert proof.second == ()
    assert "multiply-adds" in proof.second_left_out
    assert prove(net, *twins(net), reference=True).second
    assert prove(net, *twins(net), reference=False).second_left_out == "it was not asked"


def test_an_evaluator_that_parts_or_cannot_run(monkeypatch):
    net = graph()
    real = runtime.reference

    def off(model):
        run = real(model)
        return lambda feeds: {name: value + 1 for name, value in run(feeds).items()}

    monkeypatch.setattr(runtime, "reference", off)
    with pytest.raises(RunError, match=r'ND0908.*onnx\'s evaluator and torch part at blob "conv@conv"') as caught:
        prove(net, *twins(net))
    assert "--no-reference" in caught.value.diagnostics[0].help[0]

    def refuse(model):
        raise RunError([error("ND0909", "onnx's reference evaluator cannot run the model: no")])

    monkeypatch.setattr(runtime, "reference", refuse)
    assert prove(net, *twins(net)).second_left_out.endswith("cannot run the model: no")
    with pytest.raises(RunError, match="ND0909"):
        prove(net, *twins(net), reference=True)


def test_a_fixed_batch_is_run_at_its_size_alone():
    net = graph()
    proof = prove(net, *twins(net, batch=4), batch=4)
    assert proof.batch_sizes == (4,)
    assert {blob.shape[0] for blob in proof.blobs} == {4}


def test_another_weight_is_found_and_its_layer_named():
    net = graph()
    module, model = twins(net)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "fc.weight")
    array = numpy_helper.to_array(weight).copy()
    array[0, 0] += 0.01
    weight.CopyFrom(numpy_helper.from_array(array, "fc.weight"))
    with pytest.raises(RunError, match=r'ND0908.*blob "fc" of layer "fc"'):
        prove(net, module, model)


def test_a_malformed_model():
    net = graph()
    module, model = twins(net)
    model.graph.node[0].input[0] = "nobody"
    with pytest.raises(RunError, match=r"ND0907"):
        prove(net, module, model)


def test_strict_shape_inference_is_asked():
    _, model = twins(graph())
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 17
    with pytest.raises(RunError, match=r"ND0907"):
        check(model)


def test_a_model_that_no_runtime_takes():
    net = graph()
    module, model = twins(net)
    model.opset_import[0].version = onnx.defs.onnx_opset_version()
    model.ir_version = 9999
    with pytest.raises(RunError, match=r"ND09(07|09)"):
        prove(net, module, model)


INDICES = """
layer { name: "in" type: "Input" top: "words" input_param { shape { dim: 6 dim: 2 } } }
layer { name: "in2" type: "Input" top: "cont" input_param { shape { dim: 6 dim: 2 } } }
layer { name: "flat" type: "Reshape" bottom: "words" top: "same" reshape_param { shape { dim: 0 dim: 0 } } }
layer { name: "embed" type: "Embed" bottom: "same" top: "e" embed_param { num_output: 3 input_dim: 4 } }
layer { name: "lstm" type: "LSTM" bottom: "e" bottom: "cont" top: "l" recurrent_param { num_output: 2 } }
"""


def test_inputs_that_are_indices_or_marks_get_whole_numbers():
    net = graph(INDICES)
    feeds = trial(net, sizes(net, None), 40, seed=1)
    assert {id: array.shape for id, array in feeds.items()} == {"words": (6, 40), "cont": (6, 40)}
    assert set(feeds["words"].ravel()) == {0, 1, 2, 3}
    assert set(feeds["cont"].ravel()) == {0, 1}
    assert {array.dtype for array in feeds.values()} == {np.dtype(np.float32)}


def test_trials_repeat_by_their_seed():
    net = graph()
    first, again, other = (trial(net, sizes(net, None), 2, seed)["data"] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_recurrent_net_has_its_batch_on_the_second_axis():
    net = graph(INDICES)
    proof = prove(net, *twins(net), batch_sizes=(1, 2, 5))
    assert {blob.name: blob.shape for blob in proof.blobs}["l"][:2] in {(6, 1), (6, 2), (6, 5)}
