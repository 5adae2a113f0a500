"""What do the codes ND10xx (pycaffe's face) mean?"""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND1001",
        "a part of pycaffe that netdef does not have",
        """\
`netdef.pycaffe` has pycaffe's names, so that scripts run with one import changed. A few things behind them are
Caffe's own machinery (several solvers in one process, NCCL, pydot graphs, MATLAB's selective search); these say so
when they are used, and the help names what to use in their place.

    import netdef.pycaffe as caffe
    caffe.set_solver_count(4)      # refused: start `torchrun --nproc-per-node 4 … netdef train` instead""",
    ),
    Page(
        "ND1002",
        "the size of an input is not known",
        """\
A Net takes memory for all its blobs when it is made, so each input must say its size, or have a data source that does.

    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 227 dim: 227 } } }

It may still be changed: `net.blobs["data"].reshape(10, 3, 227, 227)`.""",
    ),
    Page(
        "ND1003",
        "a layer's parameters do not fit its new bottoms",
        """\
After a blob was reshaped, a layer would need parameters of another shape than those it has. An InnerProduct multiplies
all values of a row, so it fits one size of image only; a Convolution fits any.

    net.blobs["data"].reshape(1, 3, 451, 451)
    net.forward()            # fails at fc6, made for 227x227

Turn the InnerProduct into a Convolution with the same weights (net surgery), or keep the size. `share_with` needs
layers of the same shapes in both nets.""",
    ),
    Page(
        "ND1004",
        "a blob cannot have this shape",
        """\
Sizes are at least 0, parameters keep the shapes that their layers give them, and `num`, `channels`, `height` and
`width` exist for blobs of at most four axes (`shape` for all).""",
    ),
    Page(
        "ND1005",
        "backward before forward",
        """\
The gradient of a layer depends on what it computed last. Call `net.forward()`, or at least
`net.forward(start=…, end=…)` over the same layers, before `net.backward(…)`.""",
    ),
    Page(
        "ND1006",
        "no MemoryData layer",
        """\
`net.set_input_arrays(images, labels)` hands arrays to a MemoryData layer. Nets with an Input layer are fed through
their blobs:

    net.blobs["data"].data[...] = images""",
    ),
    Page(
        "ND1007",
        "a Net needs a phase",
        """\
Both of pycaffe's orders are understood:

    caffe.Net("deploy.prototxt", caffe.TEST)
    caffe.Net("deploy.prototxt", "weights.caffemodel", caffe.TEST)
    caffe.Net("deploy.prototxt", caffe.TEST, weights="weights.caffemodel")""",
    ),
    Page(
        "ND1008",
        "arrays that do not fit the net's inputs or outputs",
        """\
`forward(name=array, …)` takes an array for every input, `backward(name=array, …)` one for every output, with the
blobs' batch size. `forward_all` takes any number of rows, the same for all inputs, and cuts them into batches.

    net.forward(data=images)                 # as many images as net.blobs["data"].num
    net.forward_all(data=many_images)""",
    ),
    Page(
        "ND1009",
        "no such layer",
        """\
`start` and `end` name layers, not blobs; the two often differ. `list(net.layer_dict)` lists the layers.

    net.forward(start="conv2", end="pool2")""",
    ),
    Page(
        "ND1010",
        "an image that cannot be read or resized",
        """\
`load_image` reads what OpenCV reads (JPEG, PNG, BMP, TIFF, WebP, …). `resize_image` knows the interpolation orders 0
(nearest), 1 (linear) and 3 (cubic); 3 only for images of one or three channels.""",
    ),
    Page(
        "ND1011",
        "arrays that do not fit a Datum or a Transformer",
        """\
A Datum holds channels x height x width. A Transformer's settings must fit its input (N x C x H x W): three axes to
transpose, C channels to swap, a mean of C values or of C x H x W.

    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_mean("data", np.array([104, 117, 123]))""",
    ),
    Page(
        "ND1012",
        "a bottom that is no top of a layer",
        """\
In a net specification the positional arguments of a layer are tops of other layers; everything else is named. A layer
with several tops gives a tuple.

    n.data, n.label = L.Data(batch_size=64, backend=P.Data.LMDB, source="train_lmdb", ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20)""",
    ),
    Page(
        "ND1013",
        "a field that a message does not have, or a value that it does not take",
        """\
The named arguments of a layer are the fields of its own message (`kernel_size` of ConvolutionParameter), or of
LayerParameter (`loss_weight`, `include`). Types that use another type's message take a dict:

    L.Deconvolution(n.score, convolution_param=dict(num_output=21, kernel_size=4, stride=2))""",
    ),
    Page(
        "ND1014",
        "two tops whose pixels cannot be lined up",
        """\
`coord_map.crop(a, b)` follows the layers between two tops, each of which scales and shifts coordinates. The tops must
come from a common one by way of such layers, have the same scale in the end, and `a` must reach beyond `b` by a whole
number of pixels at the start. FCNs pad their input by 100 for that reason.""",
    ),
    Page(
        "ND1015",
        "a window outside its image",
        """\
A Detector's windows are (top, left, bottom, right) in pixels of the image, and must overlap it.""",
    ),
    Page(
        "ND1016",
        "Graphviz is not there",
        """\
Pictures of nets are made by Graphviz: the Python package (`pip install 'netdef[viz]'`) and the program `dot` of your
system. The text that it reads can be written without it:

    caffe.draw.draw_net_to_file(net, "net.dot")""",
    ),
    Page(
        "ND1017",
        "a layer cannot be computed with these values",
        """\
The shapes fit, but torch refuses the values (or has no memory left); its own words stand in the message. Mostly a label
is not one of the classes that the scores have:

    net.blobs["label"].data[...] = 10      # with num_output: 10 the classes are 0 to 9""",
    ),
)
