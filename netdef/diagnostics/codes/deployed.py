"""What do the codes ND0916 to ND0923 (verify without a net, bisect, image sizes, preprocessing, top k) mean?"""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0916",
        "another tool wrote the model",
        """\
A model that netdef has exported tells in its metadata which net and weights it was made from. This one has no such
entry, so `netdef verify` has nothing to compare it with. It is checked all the same: by onnx's checker, by shape
inference, and by running it twice, in ONNX Runtime and in onnx's own evaluator, which must agree on every value.

    netdef verify m.onnx                                     # is it sound in itself?
    netdef verify m.onnx deploy.prototxt --weights w.caffemodel

The second form compares it with a net, if inputs and outputs bear the net's names.""",
    ),
    Page(
        "ND0917",
        "the files that a model was made from are not found",
        """\
The model's metadata hold the names of its net and its weights, and the SHA-256 of their contents. `netdef verify` looks
for them beside the model and in the working folder. There is no file of that name, or its content is another one now,
so that a difference would say nothing of the model.

    netdef verify models/m.onnx nets/deploy.prototxt --weights nets/w.caffemodel

gives them in another place. Without them the model runs in ONNX Runtime against onnx's own evaluator.""",
    ),
    Page(
        "ND0918",
        "the size of a model's input is not known",
        """\
A model may leave sizes of its inputs open. The first axis is taken for the batch, and two batch sizes are tried; for
any other one a size is needed to run the model with.

    netdef verify detector.onnx --shape images=Nx3x640x640      # with a number, or ?, in the place of N""",
    ),
    Page(
        "ND0919",
        "a layer fixes the size of the images",
        """\
With `--spatial dynamic` height and width of the input are free, which takes a net of layers that work on any size:
convolutions, pooling, activations, global pooling. This layer does not: the number of its weights, or the sizes written
in it, follow from the size of the image.

    layer { name: "fc6" type: "InnerProduct" … }      # has a weight for each pixel that it reads

Export with `--spatial fixed`, write the InnerProduct as a Convolution whose kernel is as large as its bottom (its
weights are the same numbers), or end the net in a global pooling. A Reshape may copy a size with `dim: 0`.""",
    ),
    Page(
        "ND0920",
        "a back end is not there",
        """\
`netdef bisect` runs a net in torch, ONNX Runtime and OpenCV. OpenCV 5 has no Caffe reader any more, so it needs a
version 4; and OpenCV's reader knows fewer layers than Caffe.

    pip install 'opencv-python-headless<5'
    netdef bisect net.prototxt --weights w.caffemodel --backend torch --backend onnx      # without OpenCV""",
    ),
    Page(
        "ND0921",
        "the preparation of images cannot go into the model",
        """\
`--preprocess` puts what turns an image into the net's input in front of the net: resize, crop, mean, scale, order of
the channels. It takes a net with one input of 1 or 3 channels, batch x channels x height x width.

    netdef export deploy.prototxt -w w.caffemodel -o m.onnx --preprocess --mean 104,117,123

Mean and scale come from the data layer's `transform_param` where the net has one, or from the options. A net with
several inputs has to get its other ones as they are: export it without `--preprocess`.""",
    ),
    Page(
        "ND0922",
        "there are not so many classes to choose the best of",
        """\
`--top-k K` replaces the net's scores by the K highest and their indices. It needs one output with one score for each
class (batch x classes, perhaps with axes of 1 behind), and no more than that many.

    netdef export deploy.prototxt -w w.caffemodel -o m.onnx --top-k 5

Of a net with several outputs, the one called `prob` is taken.""",
    ),
    Page(
        "ND0923",
        "two back ends part",
        """\
The same net with the same weights and input gives different values in two back ends. The layer named is the first, in
the order of the net, whose blob differs by more than 1e-4 of its largest value, and by more than ten times what
rounding does to it: the fault is there, later layers only inherit it.

    netdef bisect net.prototxt --weights w.caffemodel

Three back ends make it plain who is wrong: the one that the other two disagree with. OpenCV is known to treat some
fields unlike Caffe; netdef's golden values come from Caffe itself.""",
    ),
)
