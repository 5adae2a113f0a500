import hashlib
import json
from importlib import import_module

import numpy as np
import onnx
import pytest

from netdef.deploy import export, replay, runtime
from netdef.deploy.runner import open_onnx
from netdef.diagnostics import NetdefError, RunError, error
from netdef.graph import Options, load
from netdef.ir import Shape
from netdef.targets.onnx import data_file, save
from netdef.targets.onnx.opset import definitions
from netdef.weights import LayerWeights, read_weights, write_caffemodel
from tests.golden_cases import GOLDEN, cases, prototxt

EXPORT = import_module("netdef.deploy.export")
LENET = GOLDEN / "nets/lenet"
NETS = cases("nets")

TRAIN_VAL = """
name: "tiny"
layer { name: "data" type: "Data" top: "data" top: "label"
        data_param { source: "nowhere" batch_size: 8 backend: LMDB } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def net_of(path, **options):
    return load(path, Options(phase="TEST", **options))


@pytest.fixture
def lenet():
    return net_of(LENET / "net.prototxt")


WEIGHTS = (LENET / "weights.caffemodel",)


@pytest.mark.parametrize("case", NETS, ids=[case["name"] for case in NETS])
def test_every_net_is_proven(case, tmp_path):
    path = tmp_path / "m.onnx"
    report = export(net_of(prototxt(case)), path, weights=[GOLDEN / case["dir"] / "weights.caffemodel"])
    assert report.proof.largest.max_rel < 1e-5
    assert report.warnings == ()
    onnx.checker.check_model(onnx.load(path), full_check=True)


def test_the_report(lenet, tmp_path):
    path = tmp_path / "m.onnx"
    report = export(lenet, path, weights=WEIGHTS)
    assert report.inputs == {"data": ("batch", 1, 28, 28)}
    assert report.outputs == {"prob": ("batch", 10)}
    assert (report.opset, report.files, report.size_bytes) == (
        runtime.newest_runnable(),
        (str(path),),
        path.stat().st_size,
    )
    assert len(report.proof.blobs) == 8
    assert json.loads(json.dumps(report.as_json()))["verified"] is True


def test_the_metadata_tells_where_the_model_comes_from(lenet, tmp_path):
    path = tmp_path / "m.onnx"
    report = export(lenet, path, weights=WEIGHTS)
    props = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert props["netdef.source_sha256"] == hashlib.sha256((LENET / "net.prototxt").read_bytes()).hexdigest()
    assert props["netdef.weights_sha256"] == hashlib.sha256(WEIGHTS[0].read_bytes()).hexdigest()
    assert props["netdef.verified_batch_sizes"] == "1,3"
    assert float(props["netdef.largest_relative_error"]) == pytest.approx(report.proof.largest.max_rel, rel=1e-3)
    assert "onnxruntime" in props["netdef.versions"]


def test_the_same_again_is_the_same_file(lenet, tmp_path):
    for name in ("a", "b"):
        export(lenet, tmp_path / name, weights=WEIGHTS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_batch_is_free(lenet, tmp_path, size):
    export(lenet, tmp_path / "m.onnx", weights=WEIGHTS, verify=False)
    run = runtime.session(tmp_path / "m.onnx")
    assert run({"data": np.zeros((size, 1, 28, 28), np.float32)})["prob"].shape == (size, 10)


def test_a_train_val_net_is_deployed(tmp_path):
    text = tmp_path / "train_val.prototxt"
    text.write_text(TRAIN_VAL)
    net = net_of(text, shapes={"data": Shape.of(8, 2, 3, 3)})
    report = export(net, tmp_path / "m.onnx")
    assert report.removed == ("acc", "loss")
    assert (report.inputs, report.outputs) == ({"data": ("batch", 2, 3, 3)}, {"prob": ("batch", 5)})
    (warning,) = report.warnings
    assert warning.code == "ND0912"


def test_sizes_that_a_missing_database_would_tell(tmp_path):
    text = tmp_path / "train_val.prototxt"
    text.write_text(TRAIN_VAL)
    with pytest.raises(NetdefError) as caught:
        export(net_of(text), tmp_path / "m.onnx")
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.line) == ("ND0904", 3)
    assert found.help == ("give it, a number for each letter: --shape data=8xCxHxW",)


@pytest.mark.parametrize("opset", [9, 12, 10_000])
def test_opsets_that_cannot_be(lenet, tmp_path, opset):
    with pytest.raises(NetdefError, match=r"ND0903"):
        export(lenet, tmp_path / "m.onnx", opset=opset)


def test_the_default_opset_is_the_newest_that_proves_right(lenet, tmp_path, monkeypatch):
    """Here Flatten counts as wrong in the version that opset 21 brought and in later ones."""
    real, tried = EXPORT.prove, []

    def refusing(graph, module, model, **options):
        tried.append(model.opset_import[0].version)
        if dict(definitions(model))["Flatten"] >= 21:
            raise RunError([error("ND0908", "they part")])
        return real(graph, module, model, **options)

    monkeypatch.setattr(EXPORT, "prove", refusing)
    assert export(lenet, tmp_path / "m.onnx").opset == 20
    assert tried[0] == runtime.newest_runnable()
    assert len(tried) < runtime.newest_runnable() - 19  # sets with the same definitions are not tried twice
    with pytest.raises(RunError, match="they part"):
        export(lenet, tmp_path / "m.onnx", opset=21)


def test_where_no_opset_is_right_the_newest_is_told_of(lenet, tmp_path, monkeypatch):
    def refusing(graph, module, model, **options):
        raise RunError([error("ND0908", f"opset {model.opset_import[0].version} is wrong")])

    monkeypatch.setattr(EXPORT, "prove", refusing)
    with pytest.raises(RunError, match=f"opset {runtime.newest_runnable()} is wrong"):
        export(lenet, tmp_path / "m.onnx")
    assert [*tmp_path.iterdir()] == []


def test_batchnorm_without_weights_begins_neutral(tmp_path):
    text = tmp_path / "deep.prototxt"
    layers = ['layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }']
    layers += [f'layer {{ name: "bn{i}" type: "BatchNorm" bottom: "x" top: "x" }}' for i in range(20)]
    text.write_text("\n".join(layers))
    report = export(net_of(text), tmp_path / "m.onnx")
    assert report.proof.largest.max_rel < 1e-5
    (y,) = runtime.session(tmp_path / "m.onnx")({"x": np.ones((1, 2, 3, 3), np.float32)}).values()
    assert np.allclose(y, (1 + 1e-5) ** -10, rtol=1e-5)


def test_nothing_is_written_when_the_proof_fails(lenet, tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"older")
    monkeypatch.setattr(import_module("netdef.deploy.verify"), "allowed", lambda blob: -1.0)
    with pytest.raises(RunError, match=r"ND0908"):
        export(lenet, path, weights=WEIGHTS)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_are_no_numbers(lenet, tmp_path):
    (weight, bias) = map(np.copy, read_weights(WEIGHTS[0])["conv1"])
    weight[0, 0, 0, :2] = np.nan
    write_caffemodel(tmp_path / "nan.caffemodel", "", [LayerWeights("conv1", "Convolution", (weight, bias))])
    with pytest.raises(NetdefError, match=r'ND0913.*"conv1.weight" has 2 values'):
        export(lenet, tmp_path / "m.onnx", weights=[*WEIGHTS, tmp_path / "nan.caffemodel"])


def test_a_folder_that_is_not_there(lenet, tmp_path):
    with pytest.raises(RunError, match=r"ND0914.*No such file") as caught:
        export(lenet, tmp_path / "none" / "m.onnx", weights=WEIGHTS, verify=False)
    assert caught.value.exit_code == 3


def test_a_large_model_is_proven_and_replayed_with_its_data_file(lenet, tmp_path, monkeypatch):
    monkeypatch.setitem(save.__kwdefaults__, "limit", 1000)
    monkeypatch.setattr(runtime, "EXTERNAL_DATA_LIMIT", 1000)
    path = tmp_path / "m.onnx"
    report = export(lenet, path, weights=WEIGHTS)
    assert report.files == (str(path), str(data_file(path)))
    assert report.size_bytes == path.stat().st_size + data_file(path).stat().st_size
    assert replay(path, lenet, weights=WEIGHTS).largest.max_rel < 1e-5


def test_a_data_file_that_is_missing_or_cut_short(lenet, tmp_path, monkeypatch):
    monkeypatch.setitem(save.__kwdefaults__, "limit", 1000)
    path = tmp_path / "m.onnx"
    export(lenet, path, weights=WEIGHTS, verify=False)
    data = data_file(path)
    data.write_bytes(data.read_bytes()[:-1])
    for says in (r'"m\.onnx\.data" is cut short: [\d,]+ of [\d,]+ bytes', r'"m\.onnx\.data" is not beside it'):
        for use in (lambda: replay(path, lenet, weights=WEIGHTS), lambda: open_onnx(path)):
            with pytest.raises(NetdefError, match=f"ND0910.*{says}"):
                use()
        data.unlink(missing_ok=True)


def test_replay_agrees_with_the_export(lenet, tmp_path):
    report = export(lenet, tmp_path / "m.onnx", weights=WEIGHTS)
    assert replay(tmp_path / "m.onnx", lenet, weights=WEIGHTS) == report.proof


def test_replay_of_a_fixed_batch(lenet, tmp_path):
    export(lenet, tmp_path / "m.onnx", weights=WEIGHTS, batch=2)
    assert replay(tmp_path / "m.onnx", lenet, weights=WEIGHTS).batch_sizes == (2,)


def test_replay_with_other_weights_names_the_first_layer(lenet, tmp_path):
    export(lenet, tmp_path / "m.onnx", weights=WEIGHTS, verify=False)
    with pytest.raises(RunError, match=r'ND0908.*layer "conv1"'):
        replay(tmp_path / "m.onnx", lenet)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff junk", b'name: "net"\n', bytes(5000)],
    ids=["empty", "binary junk", "a prototxt", "zeros"],
)
@pytest.mark.parametrize("name", ["m.onnx", "m.prototxt", "m.json"])
def test_a_file_that_is_no_model(lenet, tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NetdefError, match=r"ND0910"):
        replay(tmp_path / name, lenet)


def test_a_model_cut_short_or_missing_or_a_folder(lenet, tmp_path):
    path = tmp_path / "m.onnx"
    export(lenet, path, weights=WEIGHTS, verify=False)
    path.write_bytes(path.read_bytes()[:5000])
    for wrong in (path, tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(NetdefError, match=r"ND0910"):
            replay(wrong, lenet)


def test_a_model_of_another_net(lenet, tmp_path):
    other = net_of(GOLDEN / "nets/residual/net.prototxt")
    export(other, tmp_path / "m.onnx", verify=False)
    with pytest.raises(NetdefError) as caught:
        replay(tmp_path / "m.onnx", lenet)
    assert {found.code for found in caught.value.diagnostics} == {"ND0911"}
    assert len(caught.value.diagnostics) == 2
