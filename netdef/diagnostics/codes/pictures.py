"""What do the codes ND095x (draw, predict, features) mean?"""

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0950",
        "drawing a .png needs a package",
        """\
A .png is painted by matplotlib, which the extra `viz` brings. An .svg or .html needs nothing.

    pip install 'netdef[viz]'
    netdef draw net.prototxt -o net.svg        # or this""",
    ),
    Page(
        "ND0951",
        "there is nothing to draw",
        """\
No layer of the file takes part in the phase, level and stages asked for.

    netdef draw train_val.prototxt --phase TRAIN -o net.svg""",
    ),
    Page(
        "ND0952",
        "the net takes something else than images",
        """\
`netdef predict` and `netdef features` feed one input: batch x channels x height x width, or channels last, with 1
channel (grey) or 3, of floats or of bytes. Labels of a train_val net don't count, they go by themselves. This net has
another input, several, or one whose size only its database knows:

    netdef predict train_val.prototxt --shape data=?x3x224x224 -w w.caffemodel cat.jpg""",
    ),
    Page(
        "ND0953",
        "mean, resize and crops don't fit the net",
        """\
An image is resized, then the net's input is cut out of its middle (or ten times out of it), then the mean is
subtracted. So the size in `--resize` is at least the net's, larger for ten crops, and the mean is one value, one for
each channel, an image of the size before the cut, or one of the net's own size.

    netdef predict deploy.prototxt --resize 256x256 --crops 10 --mean 104,117,123 …      # the net takes 224x224""",
    ),
    Page(
        "ND0954",
        "no such blob, or not one that tells classes",
        """\
A blob is named as in the prototxt; layers that the deploy form leaves out (losses, metrics, what only training needs)
have none. Predictions need one score for each class: where a net has several outputs, `--blob` chooses.

    netdef summary deploy.prototxt                   # lists the blobs
    netdef predict deploy.prototxt --blob prob …""",
    ),
    Page(
        "ND0955",
        "there are no images",
        """\
A folder was given that holds no file with the name of an image, or the list on standard input is empty. Name files
themselves to have them read whatever they are called.

    netdef predict m.onnx photos/ cat.jpg
    find . -name '*.jpg' | netdef predict m.onnx -""",
    ),
    Page(
        "ND0956",
        "the labels don't fit",
        """\
A file of labels has one line for each class, in the order of the classes, in UTF-8. It has as many lines as the net has
scores.

    netdef predict m.onnx --labels synset_words.txt cat.jpg""",
    ),
    Page(
        "ND0957",
        "torch cannot run the net on these images",
        """\
Mostly the memory is too small for the batch: try a smaller `--batch`. Else a layer works with the batch size that its
prototxt has alone (a Reshape with the batch written out): `--backend onnx` says which.""",
    ),
    Page(
        "ND0958",
        "the features cannot be written in this form",
        """\
`-o` ends in `.npz`, `.h5` or `.lmdb`. An LMDB database holds one blob; with several `--blob` there is a database for
each, with the blob's name before the ending, and a blob has at most three axes beside the batch, which is what a Datum
can hold.

    netdef features deploy.prototxt -w w.caffemodel --blob fc6 --blob fc7 photos/ -o f.npz""",
    ),
    Page(
        "ND0959",
        "the net's scores are NaN",
        """\
NaN says that the net cannot have computed anything of use: training diverged before the weights were saved, or they are
random and BatchNorm has no statistics yet. `netdef weights show` counts what is not finite in each blob.

    netdef weights show w.caffemodel""",
    ),
    Page(
        "ND0960",
        "the net does not take an image of this size",
        """\
The model leaves the size of images free (`netdef export --spatial dynamic`, or another tool's), so each image is taken
as it is. This one is too small for a window of the net, or of a size that some layer cannot halve. The others are done.

    netdef predict fcn.onnx --resize 256x256 tiny.png""",
    ),
)
