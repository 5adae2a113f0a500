"""What do the codes ND0451 to ND0469 (reshaping, selection, losses, metrics, recurrent layers) mean?"""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0451",
        "an axis is given under its old and its new name",
        """\
`concat_dim` and `slice_dim` are the names that `axis` had until 2014. With both, the file says the
same thing twice, perhaps differently.

    concat_param { axis: 1 concat_dim: 0 }     # which one?

Keep `axis`. It may be negative (-1 is the last axis), the old names may not.""",
    ),
    Page(
        "ND0452",
        "the slice points do not fit",
        """\
A `slice_point` is the place on the axis where the next top begins: k tops need k - 1 of them, each
larger than the one before, and the first at least 1. Without any the tops get equal parts.

    top: "a" top: "b" top: "c"
    slice_param { slice_point: 2 slice_point: 5 }     # 0-1, 2-4, 5 to the end""",
    ),
    Page(
        "ND0453",
        "the axis cannot be cut like that",
        """\
A slice point lies beyond the end of the axis, or the axis is to be cut into equal parts and its
size does not divide by the number of tops.

    bottom: "x"   # 32x10
    top: "a" top: "b" top: "c"     # 10 is no multiple of 3

Give the slice points, or correct the size of the bottom.""",
    ),
    Page(
        "ND0454",
        "a new shape is written wrongly",
        """\
In `reshape_param { shape { … } }` a `dim` is a size, or 0 to copy the bottom's size at that place,
or -1, once, to have the size worked out from the rest. `num_axes` is the number of axes that are
replaced, -1 for all from `axis` on.

    reshape_param { shape { dim: 0 dim: -1 dim: 7 } }""",
    ),
    Page(
        "ND0455",
        "a new shape does not fit the bottom",
        """\
Reshape and Flatten keep all values: the number of values before and after must be the same, a 0
must have an axis to copy from, `axis` and `num_axes` must be within the bottom's axes.

    bottom: "x"   # 64x50x4x4
    reshape_param { shape { dim: 0 dim: 700 } }     # 800 values a row, not 700

Put -1 in the place of the size that follows from the others.""",
    ),
    Page(
        "ND0456",
        "Crop does not fit",
        """\
Crop cuts its first bottom to the sizes of the second, from `axis` on (2: height and width). There
may be no `offset` (then it is 0), one for all axes, or one for each axis that is cut; and offset
plus size must not go beyond the first bottom.

    bottom: "score"   # 1x21x500x500
    bottom: "data"    # 1x3x480x480
    crop_param { axis: 2 offset: 30 }     # 30 + 480 is more than 500

Nets that crop usually pad their first convolution (`pad: 100`) to have something to cut off.""",
    ),
    Page(
        "ND0457",
        "a dropout ratio out of range",
        """\
`dropout_ratio` is the share of values that are set to 0 in training, at least 0 and less than 1;
the others are divided by 1 - ratio. At 1 nothing would be left, and the division would be by 0.
It is a share, not a percentage: `0.5`, not `50`.""",
    ),
    Page(
        "ND0458",
        "Clip without sensible bounds",
        """\
Clip needs both bounds, the smaller one as `min`:

    layer { name: "clip" type: "Clip" bottom: "x" top: "y" clip_param { min: 0 max: 6 } }""",
    ),
    Page(
        "ND0459",
        "top_k is larger than the number of values",
        """\
Accuracy and ArgMax look for the `top_k` best of the classes; there cannot be more of them than
there are classes. A top-5 accuracy in a net with 2 classes is a common left-over from ImageNet.""",
    ),
    Page(
        "ND0460",
        "the labels do not match the predictions",
        """\
There must be one label for each prediction. For scores NxCxHxW with the classes on axis 1 that is
N * H * W labels, each a number from 0 to C - 1; for scores NxC it is N.

    bottom: "score"   # 2x21x32x32
    bottom: "label"   # 2x1x64x64: four times too many

If the scores were made smaller on their way (pooling, strides), make the labels smaller too or the
scores larger (Deconvolution, Interp). If the classes stand on another axis, say so:
`softmax_param { axis: … }`. One-hot labels are not what these losses take: give the number of the
class, or use SigmoidCrossEntropyLoss.""",
    ),
    Page(
        "ND0461",
        "a loss compares blobs of different sizes",
        """\
Both bottoms of a loss must have the same first axis (the batch), and EuclideanLoss,
SigmoidCrossEntropyLoss and ContrastiveLoss need as many values on one side as on the other.

    bottom: "coords"   # 32x4
    bottom: "truth"    # 32x2""",
    ),
    Page(
        "ND0462",
        "a recurrent layer has the wrong number of blobs",
        """\
LSTM and RNN take the inputs (T x N x …), the continuation flags (T x N), and perhaps a static
input (N x …). With `expose_hidden: true` the first state follows (LSTM: hidden and cell, RNN:
hidden) and the last state comes out as further tops.

    layer { type: "LSTM" bottom: "x" bottom: "cont" bottom: "h0" bottom: "c0"
            top: "h" top: "hT" top: "cT" recurrent_param { num_output: 256 expose_hidden: true } }""",
    ),
    Page(
        "ND0463",
        "the infogain matrix is missing or has another size",
        """\
InfogainLoss weighs each answer by a matrix H with a row for each true class and a column for each
answer. It comes as a third bottom, or from a file that holds a BlobProto:

    infogain_loss_param { source: "H.binaryproto" }

For C classes it must have C x C values. The identity makes it SoftmaxWithLoss.""",
    ),
    Page(
        "ND0464",
        "the bottom has too few axes",
        """\
The layer speaks of an axis that the bottom does not have: PReLU has a slope for each channel, the
second axis; LSTM and RNN need steps and streams; ArgMax needs a batch. A bottom that was flattened
too early is a common cause: look at the shapes with `netdef summary`.""",
    ),
    Page(
        "ND0465",
        "the infogain matrix cannot be read",
        """\
The file named in `infogain_loss_param { source: … }` is missing, may not be read, or is no
BlobProto. Relative paths begin at the folder in which netdef is started, as in Caffe.""",
    ),
    Page(
        "ND0469",
        "label smoothing or class weights do not fit",
        """\
`label_smoothing` (from 0 to 1) and `class_weight` (one number for each class, at least 0 and not all 0) are netdef's
own settings of SoftmaxWithLoss; other losses have no use for them.

    layer {
      type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss"
      loss_param { label_smoothing: 0.1 class_weight: [1, 1, 5] }     # three classes
    }""",
    ),
    Page(
        "ND0466",
        "indices or selectors do not fit the rows",
        """\
BatchReindex takes a list of row numbers (one axis). Filter takes, as its last bottom, one value for
each row of its other bottoms; rows with 0 are left out.

    bottom: "x"          # 32x10
    bottom: "selector"   # 32, or 32x1""",
    ),
    Page(
        "ND0467",
        "Filter has the wrong number of tops",
        """\
Filter gives back all its bottoms but the last, which is the selector, each with the chosen rows:

    layer { type: "Filter" bottom: "data" bottom: "label" bottom: "keep" top: "data_kept" top: "label_kept" }""",
    ),
    Page(
        "ND0468",
        "the bottoms of a recurrent layer do not fit each other",
        """\
Time comes first in Caffe's recurrent layers, then the streams (sequences side by side): inputs
T x N x …, flags T x N, static input N x …, states 1 x N x num_output. A blob with the batch first
(N x T) fits only by chance.

    bottom: "x"      # 20x16x300: 20 steps of 16 sequences
    bottom: "cont"   # 20x16: 0 where a sequence begins, 1 elsewhere""",
    ),
)
