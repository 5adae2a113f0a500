"""Are the weights that real Caffe wrote read as they were, and old layouts as protobuf says?"""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy

from netdef.diagnostics import NetdefError
from netdef.schema import weights_pb2 as pb
from netdef.weights import kind_of, read_blob, read_weights
from netdef.weights.wire import header

GOLDEN = Path(__file__).parents[1] / "golden"
CORPUS = Path(__file__).parents[3] / "shared/corpus/weights"
NET_FILES = sorted((GOLDEN / "nets").glob("*/weights.caffemodel*"))


def saved(tmp_path, message) -> Path:
    path = tmp_path / "a.caffemodel"
    path.write_bytes(message if isinstance(message, bytes) else message.SerializeToString())
    return path


def refused(path) -> tuple[str, str]:
    with pytest.raises(NetdefError) as caught:
        read_weights(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code, diagnostic.message


def read_or_none(path, *codes):
    """The weights, or None when they are refused with one of `codes`."""
    try:
        return read_weights(path)
    except NetdefError as fault:
        return pytest.fail(str(fault)) if fault.diagnostics[0].code not in codes else None


@pytest.mark.parametrize("path", NET_FILES, ids=lambda p: f"{p.parent.name}-{p.suffix}")
def test_golden_nets(path):
    with np.load(path.parent / "case.npz") as case:
        expected = dict(case)
    weights = read_weights(path)
    found = {f"param.{n}.{k}" for n in weights for k in weights.layer(n).blob_keys}
    assert found == {key for key in expected if key.startswith("param.")}
    for name in weights:
        for index, data in enumerate(weights[name]):
            wanted = expected[f"param.{name}.{index}"]
            assert data.dtype == np.float32
            assert np.array_equal(data.reshape(wanted.shape), wanted)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["mtcnn_det1", "mtcnn_det2", "mtcnn_det3", "lenet_mnist", "ultraface_slim320"])
def test_real_files_agree_with_protobuf(name):
    paths = list((CORPUS / name).glob("*.caffemodel"))
    if not paths:
        pytest.skip("no corpus")
    net = pb.NetParameter.FromString(paths[0].read_bytes())
    weights = read_weights(paths[0])
    assert [(layer.name, layer.type) for layer in net.layer] == [(x.name, x.type) for x in weights.layers]
    for layer, ours in zip(net.layer, weights.layers, strict=True):
        for blob, data in zip(layer.blobs, ours.blobs, strict=True):
            assert np.array_equal(np.float32(blob.data), data.reshape(-1))
            assert list(blob.shape.dim) == list(data.shape)


def test_layouts_mixed(tmp_path):
    net = pb.NetParameter(name="mixed")
    net.layer.add(name="new", type="Convolution").blobs.add(data=[1, 2], shape={"dim": [2, 1]})
    net.layers.add(name="old", type=14).blobs.add(data=[3, 4], num=1, channels=1, height=1, width=2)
    oldest = net.layers.add().layer
    oldest.name, oldest.type = "oldest", "innerproduct"
    oldest.blobs.add(data=[5], num=1, channels=1, height=1, width=1)
    weights = read_weights(saved(tmp_path, net))
    assert weights.net_name == "mixed"
    assert {name: [b.tolist() for b in weights[name]] for name in weights} == {
        "old": [[[[[3, 4]]]]],
        "oldest": [[[[[5]]]]],
        "new": [[[1], [2]]],
    }
    assert weights.types == {"new": "Convolution", "old": "InnerProduct", "oldest": "InnerProduct"}
    assert weights.layer("old").legacy == {0}
    assert weights.layer("new").legacy == frozenset()


def blob_with(data: bytes) -> bytes:
    """A net of one layer "l" whose one blob has the given bytes."""
    layer = b"\x0a\x01l" + b"\x3a" + bytes([len(data)]) + data
    return b"\xa2\x06" + bytes([len(layer)]) + layer


FLOATS = struct.pack("<3f", 1.5, -2, 3)
DOUBLES = struct.pack("<3d", 1.5, -2, 3)
SHAPE3 = b"\x3a\x03\x0a\x01\x03"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x2a\x0c" + FLOATS + SHAPE3, id="packed"),
        pytest.param(b"".join(b"\x2d" + FLOATS[i : i + 4] for i in (0, 4, 8)) + SHAPE3, id="unpacked"),
        pytest.param(b"\x2a\x04" + FLOATS[:4] + SHAPE3 + b"\x2a\x08" + FLOATS[4:], id="packed in two pieces"),
        pytest.param(b"\x2a\x04" + FLOATS[:4] + b"\x2d" + FLOATS[4:8] + b"\x2d" + FLOATS[8:] + SHAPE3, id="both"),
        pytest.param(b"\x42\x18" + DOUBLES + SHAPE3, id="double"),
        pytest.param(b"".join(b"\x41" + DOUBLES[i : i + 8] for i in (0, 8, 16)) + SHAPE3, id="double unpacked"),
        pytest.param(b"\x2a\x0c" + bytes(12) + b"\x42\x18" + DOUBLES + SHAPE3, id="double beats single"),
        pytest.param(b"\x2a\x0c" + FLOATS + b"\x3a\x02\x08\x03", id="dims unpacked"),
        pytest.param(b"\x62\x02hi" + b"\x2a\x0c" + FLOATS + SHAPE3 + b"\x50\x01", id="a fork's fields"),
        pytest.param(b"\x2a\x0c" + FLOATS + b"\x32\x0c" + bytes(12) + SHAPE3, id="with gradients"),
    ],
)
def test_forms_of_a_blob(tmp_path, data):
    (blob,) = read_weights(saved(tmp_path, blob_with(data)))["l"]
    assert blob.tolist() == [1.5, -2, 3]


def blob_message(**fields) -> pb.NetParameter:
    net = pb.NetParameter(name="n")
    net.layer.add(name="conv1", type="Convolution").blobs.add(**fields)
    return net


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        pytest.param(
            blob_message(data=[1, 2], shape={"dim": [3]}),
            "ND0604",
            'layer "conv1", blob 0: the shape 3 wants 3 numbers, and 2 are stored',
            id="fewer",
        ),
        pytest.param(blob_message(data=[1, 2], shape={"dim": [0, 2]}), "ND0604", "wants 0 numbers", id="zero"),
        pytest.param(blob_message(data=[1, 2], shape={"dim": [-1, -2]}), "ND0604", "negative size", id="negative"),
        pytest.param(blob_message(data=[1], shape={"dim": [1 << 62] * 9}), "ND0604", "and 1 are stored", id="huge"),
        pytest.param(blob_message(data=[1], shape={"dim": [1] * 33}), "ND0604", "more than 32 axes", id="33 axes"),
        pytest.param(blob_message(shape={"dim": [4]}), "ND0604", "and 0 are stored", id="no data"),
        pytest.param(blob_message(data=[1, 2], num=1, channels=2), "ND0604", "1x2x0x0 wants 0", id="old axes unset"),
        pytest.param(blob_message(double_data=[1e300], shape={"dim": [1]}), "ND0609", "1e+300", id="too large"),
        pytest.param(blob_with(b"\x2a\x03abc"), "ND0603", 'layer "l", blob 0: 3 bytes are no whole', id="3 bytes"),
        pytest.param(blob_with(b"\x28\x07"), "ND0603", "should hold", id="data as an integer"),
        pytest.param(blob_with(b"\x2a\x7fabc"), "ND0603", "127 bytes are promised and 3 are left (at byte", id="lie"),
        pytest.param(b"", "ND0602", "the file is empty", id="empty"),
        pytest.param(b'name: "n"\nlayer {}', "ND0602", "a text", id="prototxt"),
        pytest.param(b'\nnet: "n.prototxt"\nbase_lr: 0.1\n', "ND0602", "a text", id="solver"),
        pytest.param(b"PK\x03\x04....", "ND0602", "torch checkpoint", id="torch"),
        pytest.param(b"<!DOCTYPE html><html>", "ND0602", "a web page", id="html"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "ND0602", "LFS pointer", id="lfs"),
        pytest.param(bytes(range(256)), "ND0602", "neither", id="binary"),
    ],
)
def test_bad_files(tmp_path, message, code, text):
    found = refused(saved(tmp_path, message))
    assert found[0] == code
    assert text in found[1]
    assert "a.caffemodel" in found[1]


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_system_errors(tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / "nothing"
    code, message = refused(path)
    assert code == "ND0601"
    assert str(path) in message


def test_truncated_at_every_byte(tmp_path):
    whole = (GOLDEN / "nets/legacy_v1/weights.caffemodel").read_bytes()
    complete = read_weights(saved(tmp_path, whole))
    for size in range(1, len(whole), 7):
        path = saved(tmp_path, whole[:size])
        if (weights := read_or_none(path, "ND0602", "ND0603")) is not None:
            # cut between two layers: what is there is whole
            assert all(np.array_equal(a, b) for n in weights for a, b in zip(weights[n], complete[n], strict=True))


def test_kinds():
    snapshots = GOLDEN / "snapshots"
    assert kind_of(snapshots / "sgd_hdf5/snap_iter_15.caffemodel.h5") == "weights"
    assert kind_of(snapshots / "sgd_hdf5/snap_iter_15.solverstate.h5") == "solver state"
    assert kind_of(snapshots / "sgd_binaryproto/snap_iter_15.caffemodel") == "weights"
    assert kind_of(snapshots / "sgd_binaryproto/snap_iter_15.solverstate") == "solver state"
    assert kind_of(GOLDEN / "transforms/data/mean.binaryproto") == "single blob"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("snapshots/sgd_binaryproto/snap_iter_15.solverstate", "a solver state where weights should be"),
        ("snapshots/sgd_hdf5/snap_iter_15.solverstate.h5", "a solver state where weights should be"),
        ("transforms/data/mean.binaryproto", "a single blob where weights should be"),
    ],
)
def test_other_kind(path, found):
    code, message = refused(GOLDEN / path)
    assert code == "ND0607"
    assert found in message


def test_mean():
    expected = np.load(GOLDEN / "transforms/data/mean.npy")
    assert np.array_equal(read_blob(GOLDEN / "transforms/data/mean.binaryproto").reshape(expected.shape), expected)


def test_state_dict_as_safetensors(tmp_path):
    arrays = {
        "conv1.bias": np.float32([1, 2]),
        "conv1.weight": np.ones((2, 3), np.float16),
        "block.bn.num_batches_tracked": np.array(7),
        "block.bn.running_mean": np.zeros(3, np.float64),
        "scale": np.float32([5]),
    }
    path = tmp_path / "weights"
    safetensors.numpy.save_file(arrays, path)
    weights = read_weights(path)
    assert set(weights) == {"conv1", "block.bn", ""}
    assert weights.layer("conv1").keys == ("weight", "bias")
    assert [b.tolist() for b in weights["conv1"]] == [[[1, 1, 1], [1, 1, 1]], [1, 2]]
    assert all(data.dtype == np.float32 for name in weights for data in weights[name])


def test_bfloat16(tmp_path):
    exact = np.float32([1, -2.5, 3.140625, 0])
    raw = (exact.view("<u4") >> 16).astype("<u2").tobytes()
    head = b'{"l.weight":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}'
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + raw)
    assert np.array_equal(read_weights(path)["l"][0], exact)


def test_hdf5_shared_weights(tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as root:
        root["data/owner/0"] = np.float32([1, 2])
        root["data/hard/0"] = root["data/owner/0"]
        root["data/soft/0"] = h5py.SoftLink("/data/owner/0")
        root["data/absent/1"] = np.float64([9])
        root.create_group("data/none")
        root["data/inception/1x1/0"] = np.float32([3])
    weights = read_weights(path)
    assert [weights[n][0].tolist() for n in ("owner", "hard", "soft", "inception/1x1")] == [[1, 2]] * 3 + [[3]]
    assert weights["hard"][0] is weights["owner"][0]
    assert weights.layer("absent").keys == ("1",)
    assert "none" not in weights
    assert weights.layer("none") is not None


def external(root):
    root["data/l/0"] = h5py.ExternalLink("/etc/passwd", "/x")


def external_top(root):
    del root["data"]
    root["data"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_to_external(root):
    root["out"] = h5py.ExternalLink("other.h5", "/data")
    root["data/l/0"] = h5py.SoftLink("/out/l/0")


def external_storage(root):
    root.create_group("data/l").create_dataset("0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(root):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    root.create_group("data/l").create_virtual_dataset("0", layout)


def bomb(root):
    root.create_group("data/l").create_dataset("0", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")


def circle(root):
    root["data/a/b"] = root.create_group("data") if "data" not in root else root["data"]


def soft_circle(root):
    root["data/l/0"] = h5py.SoftLink("/data/l/0")


def dangling(root):
    root["data/l/0"] = h5py.SoftLink("/data/nothing")


def large_chunk(root):
    """Ten numbers, for which the library would unpack 2 GiB."""
    more = {"maxshape": (None,), "chunks": (1 << 29,), "compression": "gzip"}
    root.create_dataset("data/l/0", (10,), np.float32, **more)


def fan(root):
    """Twelve groups, each eight times in the one above: a small file with 8^12 names."""
    below = root.create_group("below")
    below["0"] = np.ones(2, np.float32)
    for level in range(12):
        group = root.create_group(f"data/{level}" if level == 11 else f"level{level}")
        for branch in range(8):
            group[f"branch{branch}"] = below
        below = group


def unwritten(root):
    root.create_dataset("data/l/0", (10,), np.float32)


def partly_written(root):
    chunked = root.create_dataset("data/l/0", (10, 4), np.float32, chunks=(5, 4))
    chunked[:5] = 1


def text(root):
    root["data/l/0"] = "text"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (external, "ND0605"),
        (external_top, "ND0605"),
        (soft_to_external, "ND0605"),
        (external_storage, "ND0605"),
        (virtual, "ND0605"),
        (bomb, "ND0608"),
        (large_chunk, "ND0608"),
        (fan, "ND0608"),
        (unwritten, "ND0605"),
        (partly_written, "ND0605"),
        (circle, "ND0608"),
        (soft_circle, "ND0608"),
        (dangling, "ND0603"),
        (text, "ND0605"),
    ],
)
def test_hostile_hdf5(tmp_path, make, code):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as root:
        root.create_group("data/first")
        make(root)
    assert refused(path)[0] == code


def test_compressed_hdf5(tmp_path):
    path = tmp_path / "w.h5"
    values = np.arange(70, dtype=np.float32).reshape(10, 7)
    with h5py.File(path, "w") as root:
        root.create_dataset("data/l/0", data=values, chunks=(4, 7), compression="gzip", shuffle=True)
        root.create_dataset("data/l/1", data=np.zeros(0, np.float32), chunks=(4,), maxshape=(None,))
    found = read_weights(path)["l"]
    np.testing.assert_array_equal(found[0], values)
    assert found[1].shape == (0,)


def test_hdf5_shape_that_lies(tmp_path):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as root:
        root["data/l/0"] = np.zeros(1000, np.float32)
    data = path.read_bytes()
    assert data.count((1000).to_bytes(8, "little")) == 2  # size and maximal size
    path.write_bytes(data.replace((1000).to_bytes(8, "little"), (999).to_bytes(8, "little")))
    code, message = refused(path)
    assert code in ("ND0603", "ND0604")
    assert 'layer "l", blob 0' in message or "HDF5" in message


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        (np.float64([1e38, np.inf, np.nan]), True),
        (np.float64([1e39]), False),
        (np.array([1 << 24, -3]), True),
        (np.array([(1 << 24) + 1]), False),
        (np.float16([0.5]), True),
        (np.array([True]), True),
    ],
    ids=str,
)
def test_other_numbers_become_float32_or_an_error(tmp_path, values, fits):
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"l.w": values}, path)
    if fits:
        assert np.array_equal(read_weights(path)["l"][0], values.astype(np.float32), equal_nan=True)
    else:
        assert refused(path)[0] == "ND0609"


def test_many_tensors(tmp_path):
    """30,000 empty ones, in their order: minutes where each is looked up in a list."""
    header = ",".join(f'"{i}.w":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(30_000))
    path = tmp_path / "w.safetensors"
    path.write_bytes((len(header) + 2).to_bytes(8, "little") + b"{" + header.encode() + b"}")
    assert [layer.name for layer in read_weights(path).layers] == [str(i) for i in range(30_000)]


def test_a_header_that_would_take_gigabytes(tmp_path):
    path, size = tmp_path / "w.safetensors", 20 << 20
    with path.open("wb") as stream:
        stream.write(size.to_bytes(8, "little") + b"{")
        stream.truncate(8 + size)
    assert refused(path)[0] == "ND0608"


HEADER = '{"l.w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


@pytest.mark.parametrize(
    ("header", "size", "text"),
    [
        pytest.param(HEADER, 7, "end at", id="cut"),
        pytest.param(HEADER, 9, "the tensors take", id="rest"),
        pytest.param(HEADER.replace("[2]", "[3]"), 8, "takes 12 bytes", id="shape"),
        pytest.param(HEADER.replace("[2]", "[-2]"), 8, "no list of", id="negative"),
        pytest.param(HEADER.replace("[2]", "[1000000000000,1000000000000]"), 8, "takes", id="huge"),
        pytest.param(HEADER.replace("[0,8]", "[8,0]"), 8, "from 8 to 0", id="backwards"),
        pytest.param(HEADER.replace("[0,8]", "[4,12]"), 12, "begin at 4 and not at 0", id="hole"),
        pytest.param(HEADER.replace("F32", "F33"), 8, "F33", id="type"),
        pytest.param(HEADER.replace('"shape"', '"form"'), 8, "lacks dtype, shape", id="no shape"),
        pytest.param(HEADER[:-1], 8, "no JSON", id="cut JSON"),
        pytest.param('{"a":' * 100_000, 8, "no JSON", id="deep JSON"),
        pytest.param('{"a":1,"a":2}', 8, "twice", id="repeated"),
        pytest.param('{"__metadata__":{"a":1}}', 0, "metadata", id="metadata"),
    ],
)
def test_lying_safetensors(tmp_path, header, size, text):
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(size))
    code, message = refused(path)
    assert code == "ND0606"
    assert text in message


def test_over_two_gigabytes(tmp_path):
    count = 600_000_000  # 2.4 GB, a hole on the disk but for its two ends
    head = pb.Layer(name="big").SerializeToString()
    shape = pb.BlobProto(shape={"dim": [count]}).SerializeToString()
    body = header(5, 4 * count)
    blob_size = len(body) + 4 * count + len(shape)
    start = head + header(7, blob_size) + body
    size = len(head) + len(header(7, blob_size)) + blob_size
    path = tmp_path / "big"
    with path.open("wb") as stream:
        stream.write(header(100, size) + start)
        stream.seek(4 * (count - 1), 1)
        stream.write(struct.pack("<f", 1.5) + shape)
        stream.write(pb.NetParameter(layer=[pb.Layer(name="after")]).SerializeToString())
    weights = read_weights(path)
    assert [layer.name for layer in weights.layers] == ["big", "after"]
    assert weights["big"][0].shape == (count,)
    assert weights["big"][0][-2:].tolist() == [0, 1.5]
