"""Is what we write what protobuf, h5py, safetensors and OpenCV's Caffe reader expect?"""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import safetensors.numpy

from netdef.diagnostics import NetdefError, RunError
from netdef.schema import weights_pb2 as pb
from netdef.weights import (
    LayerWeights,
    read_blob,
    read_weights,
    write_caffemodel,
    write_hdf5,
    write_mean,
    write_safetensors,
    write_weights,
)

GOLDEN = Path(__file__).parents[1] / "golden"
RNG = np.random.default_rng(1)
LAYERS = (
    LayerWeights("data", "Input"),
    LayerWeights("conv1", "Convolution", (RNG.random((4, 3, 5, 5), np.float32), RNG.random(4, np.float32))),
    LayerWeights("inception/1x1", "InnerProduct", (np.float32(RNG.random((300, 70)).T),)),
    LayerWeights("bn", "BatchNorm", (np.zeros(3, np.float32), np.ones(3, np.float32), np.float32([7]))),
    LayerWeights("scalar", "OfAFork", (np.float32(5).reshape(()),)),
)
FORMATS = ("w.caffemodel", "w.caffemodel.h5", "w.safetensors")


def by_protobuf(layers, with_diffs=()) -> pb.NetParameter:
    net = pb.NetParameter(name="net")
    for layer in layers:
        message = net.layer.add(name=layer.name, type=layer.type)
        for index, data in enumerate(layer.blobs):
            blob = message.blobs.add(data=data.reshape(-1), shape={"dim": data.shape})
            if (layer.name, index) in with_diffs:
                blob.diff.extend(layer.diffs[index].reshape(-1))
    return net


def test_caffemodel_is_protobufs_byte_for_byte(tmp_path):
    write_caffemodel(tmp_path / "w", "net", LAYERS)
    assert (tmp_path / "w").read_bytes() == by_protobuf(LAYERS).SerializeToString(deterministic=True)


def test_gradients_are_written(tmp_path):
    data = np.float32([1, 2])
    layers = [LayerWeights("l", "Bias", (data, data), (None, data + 1))]
    write_caffemodel(tmp_path / "w", "net", layers)
    expected = by_protobuf(layers, {("l", 1)})
    assert (tmp_path / "w").read_bytes() == expected.SerializeToString(deterministic=True)
    write_hdf5(tmp_path / "h", layers)
    with h5py.File(tmp_path / "h") as root:
        assert root["diff/l/1"][:].tolist() == [2, 3]
        assert list(root["diff/l"]) == ["1"]


def test_layers_may_come_one_by_one(tmp_path):
    write_caffemodel(tmp_path / "w", "net", (layer for layer in LAYERS))
    assert len(read_weights(tmp_path / "w").layers) == len(LAYERS)


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip(tmp_path, name):
    assert write_weights(tmp_path / name, LAYERS, net_name="net") == []
    weights = read_weights(tmp_path / name)
    assert weights.format == {".caffemodel": "caffemodel", ".h5": "hdf5"}.get((tmp_path / name).suffix, "safetensors")
    assert {layer.name for layer in weights.layers} == {layer.name for layer in LAYERS}
    for layer in LAYERS:
        for wanted, data in zip(layer.blobs, weights.get(layer.name, []), strict=True):
            assert data.shape == wanted.shape
            assert np.array_equal(data, wanted)


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_conversion_keeps_all(tmp_path, first, second):
    source = read_weights(GOLDEN / "nets/residual/weights.caffemodel")
    write_weights(tmp_path / f"1{first}", source.layers)
    write_weights(tmp_path / f"2{second}", read_weights(tmp_path / f"1{first}").layers)
    found = read_weights(tmp_path / f"2{second}")
    assert set(found) == set(source)
    assert all(np.array_equal(a, b) for n in source for a, b in zip(source[n], found[n], strict=True))


def test_hdf5_is_laid_out_like_caffes(tmp_path):
    original = GOLDEN / "nets/lenet/weights.caffemodel.h5"
    write_hdf5(tmp_path / "w.h5", read_weights(original).layers)

    def listing(path):
        found = {}
        with h5py.File(path) as root:
            root.visititems(
                lambda name, node: found.update(
                    {name: (getattr(node, "shape", None), str(node.dtype) if hasattr(node, "dtype") else "")}
                )
            )
            return found, root["data/conv1/0"][:]

    ours, theirs = listing(tmp_path / "w.h5"), listing(original)
    assert ours[0] == theirs[0]
    assert np.array_equal(ours[1], theirs[1])


def test_safetensors_by_its_own_library(tmp_path):
    write_safetensors(tmp_path / "w", LAYERS)
    found = safetensors.numpy.load_file(tmp_path / "w")
    assert set(found) == {
        "conv1.weight",
        "conv1.bias",
        "inception/1x1.weight",
        "bn.mean",
        "bn.variance",
        "bn.factor",
        "scalar.0",
    }
    assert np.array_equal(found["conv1.weight"], LAYERS[1].blobs[0])
    assert np.array_equal(found["inception/1x1.weight"], LAYERS[2].blobs[0])


def test_opencv_computes_with_what_we_write(tmp_path):
    folder = GOLDEN / "nets/lenet"
    with np.load(folder / "case.npz") as stored:
        case = dict(stored)
    write_caffemodel(tmp_path / "w", "lenet", read_weights(folder / "weights.caffemodel").layers)
    net = cv2.dnn.readNetFromCaffe(str(folder / "net.prototxt"), str(tmp_path / "w"))
    net.setInput(case["bottom.data"])
    (top,) = (case[key] for key in case if key.startswith("top."))
    np.testing.assert_allclose(net.forward(), top, rtol=1e-4, atol=1e-6)


def test_mean_round_trip(tmp_path):
    original = GOLDEN / "transforms/data/mean.binaryproto"
    write_mean(tmp_path / "m", read_blob(original))
    found, expected = (pb.BlobProto.FromString(path.read_bytes()) for path in (tmp_path / "m", original))
    assert (found.num, found.channels, found.height, found.width) == (1, *read_blob(original).shape[-3:])
    assert list(found.data) == list(expected.data)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(b"old")

    def layers():
        yield LAYERS[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_caffemodel(path, "net", layers())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", FORMATS)
def test_no_such_folder(tmp_path, name):
    with pytest.raises(NetdefError) as caught:
        write_weights(tmp_path / "nowhere" / name, LAYERS)
    assert caught.value.diagnostics[0].code == "ND0601"


@pytest.mark.parametrize(
    "names",
    [[""], ["."], ["/x"], ["x/"], ["a//b"], ["a/./b"], ["n\0m"], ["a", "a/0"], ["a/0", "a"]],
    ids=repr,
)
def test_names_that_have_no_place_in_hdf5(tmp_path, names):
    layers = [LayerWeights(name, "", (np.ones(2, np.float32),)) for name in names]
    with pytest.raises(NetdefError) as caught:
        write_weights(tmp_path / "w.h5", layers)
    assert [d.code for d in caught.value.diagnostics] == ["ND0616"]
    assert not (tmp_path / "w.h5").exists()


def test_of_one_name_the_later_is_written(tmp_path):
    """As a .caffemodel with both would load; layers without parameters are no matter, whatever their names."""
    layers = [
        LayerWeights("a", "", (np.zeros(3, np.float32), np.zeros(1, np.float32))),
        LayerWeights("", "ReLU"),
        LayerWeights("a", "", (np.ones(2, np.float32),)),
        LayerWeights("a", "Dropout"),
    ]
    for ending in ("h5", "safetensors", "caffemodel"):
        write_weights(tmp_path / f"w.{ending}", layers)
        (found,) = read_weights(tmp_path / f"w.{ending}")["a"]
        np.testing.assert_array_equal(found, np.ones(2))


def test_unknown_extension(tmp_path):
    with pytest.raises(NetdefError, match="names no weight format") as caught:
        write_weights(tmp_path / "w.pth", LAYERS)
    assert caught.value.diagnostics[0].code == "ND0616"


def test_a_gap_is_no_caffemodel(tmp_path):
    gap = [LayerWeights("l", "", (np.float32([1]),), keys=("1",))]
    write_weights(tmp_path / "w.h5", gap)
    assert read_weights(tmp_path / "w.h5").layer("l").keys == ("1",)
    with pytest.raises(NetdefError, match="are shared") as caught:
        write_weights(tmp_path / "w.caffemodel", gap)
    assert caught.value.diagnostics[0].code == "ND0616"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("write", [write_hdf5, lambda path, layers: write_caffemodel(path, "net", layers)])
def test_full_disk_is_a_failed_run(write):
    with pytest.raises(RunError, match="No space left") as caught:
        write("/dev/full", LAYERS)
    assert caught.value.diagnostics[0].code == "ND0601"
