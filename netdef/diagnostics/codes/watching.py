"""What do the codes of the commands that time, check and watch nets mean (ND003x, ND0730, ND083x)?"""

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0030",
        "a size is not known",
        """\
To run a net, the sizes of its inputs must be known. Those of a data layer stand in its database; where that is not
there, tell them, the batch first:

    netdef time train_val.prototxt --shape data=32x3x224x224

A blob that a person feeds (`Input`) has its sizes in the net: `input_param { shape { dim: 1 dim: 3 … } }`.""",
    ),
    Page(
        "ND0031",
        "an extra is not installed",
        """\
Pictures need matplotlib, TensorBoard's files need tensorboard. netdef trains and exports without them, so they come
with an extra alone:

    pip install 'netdef[viz]'""",
    ),
    Page(
        "ND0032",
        "a gradient parts from the numeric one",
        """\
`netdef gradcheck` moves a value x of a layer by a little h to both sides, and compares (y(x + h) - y(x - h)) / 2h with
the gradient that the layer itself computes, in float64. Here they are different things, so one of forward and backward
pass is wrong, and training with this layer would not follow its loss.

In a layer of your own look at the backward pass; in one of netdef's it is a bug, please report it. Places where the
layer bends, as ReLU does at 0, are found out and do not count.""",
    ),
    Page(
        "ND0033",
        "no run to plot",
        """\
The file is neither a metrics.jsonl (which `netdef train` writes beside its snapshots) nor a log with lines as Caffe
writes them, such as `Iteration 100, loss = 0.25`. Or the run has not displayed anything yet: the solver's `display`
says how many iterations lie between two displays, and 0 shows none.

    netdef plot snapshots/metrics.jsonl caffe_train.log -o curves.png""",
    ),
    Page(
        "ND0034",
        "no such kind of picture",
        """\
The ending of the output's name says which kind of picture is drawn: `.png`, `.svg` or `.pdf`.

    netdef plot snapshots/metrics.jsonl -o curves.svg""",
    ),
    Page(
        "ND0730",
        "the net cannot be tried on a handful of images",
        """\
`netdef train --overfit 20` counts how many images a net knows by heart: it compares the largest score with the label.
That takes a loss with scores and labels (SoftmaxWithLoss, HingeLoss, InfogainLoss, MultinomialLogisticLoss), and inputs
that are rows of one batch. For regression, watch the loss instead.""",
    ),
    Page(
        "ND0830",
        "a handful of images cannot be learned by heart",
        """\
A sound net learns twenty images by heart in a few hundred iterations, whatever they show. One that does not has a fault
that more data or time will not mend. In the order of how often they are the reason:

1. `base_lr` far too low or too high: `netdef lr-find solver.prototxt` suggests one.
2. Images and labels do not belong together: a shuffled label file, equal images with different labels.
3. The image does not reach the loss: a wrong `bottom`, a constant input (a `scale` of 0.00390625 twice), a ReLU that
   never fires, frozen layers (`lr_mult: 0`).
4. Strong `weight_decay` or Dropout; both are there to hinder learning by heart.""",
    ),
    Page(
        "ND0831",
        "the loss begins far from what guessing costs",
        """\
A net that has learned nothing should give each of C classes nearly the same probability, which costs ln(C): 2.30 for 10
classes, 6.91 for 1,000. A loss that begins much higher means scores that are large by themselves, so that the net is
confidently wrong: data that are not scaled (0 to 255 in place of 0 to 1), a mean that is not subtracted, weights drawn
too wide. Training may still work, but loses its first part, or diverges.

    transform_param { scale: 0.00390625 }         # bytes to 0 … 1
    weight_filler { type: "xavier" }              # as wide as the layer's inputs allow

A loss that begins much lower means that the answer is in the data, or that nearly all labels are the same.""",
    ),
    Page(
        "ND0832",
        "the range test found no learning rate",
        """\
`netdef lr-find` raises the rate from `--from` to `--to` and looks where the loss falls. Here it ran away at once, or
fell nowhere. Begin lower, end higher, or take more `--iterations`. If that does not help, the net does not learn at any
rate: try whether it can learn a handful of images, `netdef train --overfit 20 solver.prototxt`.""",
    ),
)
