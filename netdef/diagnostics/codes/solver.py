"""What do the codes ND07xx (solver configuration) and ND08xx (training run) mean?"""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0701",
        "unknown solver type",
        """\
`type` names the update rule. netdef knows Caffe's six: `SGD` (with momentum; the default), `Nesterov`, `AdaGrad`,
`RMSProp`, `AdaDelta` and `Adam`; and `AdamW`. Capitals count.

    type: "adam"      # wrong
    type: "Adam\"""",
    ),
    Page(
        "ND0703",
        "unknown learning rate policy",
        """\
`lr_policy` says how the rate changes with the iteration i:

    fixed      base_lr
    step       base_lr * gamma ^ floor(i / stepsize)
    exp        base_lr * gamma ^ i
    inv        base_lr * (1 + gamma * i) ^ -power
    multistep  base_lr * gamma ^ (number of stepvalues reached)
    poly       base_lr * (1 - i / max_iter) ^ power
    sigmoid    base_lr / (1 + exp(-gamma * (i - stepsize)))

and, beyond Caffe's,

    linear     from base_lr down to min_lr in a straight line over max_iter
    cosine     the same in half a wave, again and again with restart_iter
    plateau    times gamma whenever the test output named in `plateau` stands still

A `warmup_iter` may stand before any of them.""",
    ),
    Page(
        "ND0704",
        "a field is missing that the learning rate is made of",
        """\
Every run needs `base_lr` and `lr_policy`; most policies need more. Caffe takes 0 for what is not written, which gives a
rate of 0 or a division by 0, and a run that learns nothing.

    lr_policy: "step"     # needs gamma and stepsize
    gamma: 0.1
    stepsize: 10000

`max_iter` may be left out of a solver that a program drives step by step; `netdef train` would then end at once.""",
    ),
    Page(
        "ND0705",
        "`stepvalue` does not rise",
        """\
With `multistep` the rate drops when the iteration reaches the next `stepvalue`, one after the other. One that is not
above its predecessor would drop at the wrong time.

    stepvalue: 5000
    stepvalue: 4000      # wrong: must be above 5000""",
    ),
    Page(
        "ND0706",
        "no net to train, or two",
        """\
A solver trains exactly one net, given in one of four ways: `net` (a path; serves testing too), `train_net` (a path;
trains only), `net_param` and `train_net_param` (the same, written out in the solver).

    net: "lenet_train_test.prototxt"
    base_lr: 0.01
    lr_policy: "fixed"
    max_iter: 10000

`netdef train` wants this solver file, not the net itself.""",
    ),
    Page(
        "ND0707",
        "test nets, test_iter, test_interval and test_state do not fit together",
        """\
Each test net needs one `test_iter`, the number of batches that a test runs through, in the order `test_net_param`,
`test_net`; what is left over counts for `net`, once each. There must be a `test_interval`, the iterations between two
tests, and either no `test_state` or one for each.

    net: "train_val.prototxt"
    test_iter: 100          # batches a test
    test_interval: 500      # iterations between two tests""",
    ),
    Page(
        "ND0708",
        "a number is out of its range",
        """\
The message says which range holds. Rates, decays and intervals cannot be negative; `momentum`, `momentum2` and
`rms_decay` are shares of the past, at least 0 and below 1: with 1 or more the past would never fade.
`iter_size` and `average_loss` count from 1.""",
    ),
    Page(
        "ND0709",
        "a field that this update rule does not have",
        """\
`AdaGrad` and `RMSProp` have no momentum: Caffe refuses it, and so does netdef, since the writer meant another rule.
`rms_decay` belongs to `RMSProp` and `momentum2` to `Adam`; with another type they change nothing (a warning).""",
    ),
    Page(
        "ND0714",
        "solver fields that do not go together",
        """\
Some of netdef's own solver fields belong to another one, without which they change nothing (a warning): `min_lr` to the
policies `linear`, `cosine` and `plateau`, `restart_iter` to `cosine`, `restart_mult` to `restart_iter`,
`warmup_start_lr` to `warmup_iter`, and the block `plateau` to `lr_policy: "plateau"`.

Others exclude each other: `clip_gradients` limits the length of the whole gradient, `clip_value` each of its numbers;
AdamW's decay is in proportion to the weight, so that `regularization_type: "L1"` has no meaning there.""",
    ),
    Page(
        "ND0715",
        "a param_rule that is for no layer",
        """\
A `param_rule` says how layers learn by their names, for fine-tuning without an edit of the net. `layer` is a name or a
pattern (`*` for any characters, `?` for one), and must match at least one layer with parameters of the training net.
The factors multiply the net's own `lr_mult` and `decay_mult`; of several rules for a layer the last counts.

    weights: "pretrained.caffemodel"
    param_rule { layer: "*" lr_mult: 0 }       # freeze everything
    param_rule { layer: "fc8*" lr_mult: 10 }   # but let the last layer learn fast""",
    ),
    Page(
        "ND0716",
        "a test output to watch that is not there",
        """\
`early_stop` and `plateau` look at an output of a test net, a blob that no layer reads, at each test. There must be
tests (`test_iter`, `test_interval`), and the test net must have the output.

    test_iter: 100
    test_interval: 500
    early_stop { output: "accuracy" patience: 5 mode: MAX }

With several test nets, `net: 1` means the second.""",
    ),
    Page(
        "ND0710",
        "unknown regularization type",
        """\
`regularization_type` is `L2` (the default: each weight shrinks in proportion to itself) or `L1` (each shrinks by a
constant, which makes zeros). To have none, leave `weight_decay` out.""",
    ),
    Page(
        "ND0711",
        "the GPU that was asked for is not there",
        """\
`--gpu` names a device that torch cannot use: there is no NVIDIA driver, torch was installed without CUDA, or the number
is too high. `python -c "import torch; print(torch.cuda.device_count())"` shows how many there are. Processes that train
together need a GPU each.

Leave `--gpu` out: netdef then takes a GPU if `solver_mode` allows and one is there, and the processor otherwise.""",
    ),
    Page(
        "ND0712",
        "the net cannot be trained",
        """\
A net to train needs data that come by themselves (a data layer, not `Input`), a loss (a layer whose top counts into the
loss, such as `SoftmaxWithLoss`), and at least one parameter with an `lr_mult` above 0 (a `param_rule` may freeze all).

Often the wrong file is named: a `deploy.prototxt` begins with `Input` and has no loss; the net for training is called
`train_val.prototxt` or `…_train_test.prototxt`.""",
    ),
    Page(
        "ND0713",
        "a setting that is not there yet, or not on this device",
        """\
`precision: TF32` needs a GPU. Without `precision` a GPU uses it where it has it, and the processor computes in FP32.
`FP32` is exact everywhere; `BF16` works everywhere, and pays where the hardware multiplies in bfloat16.

Some ways of computing exclude each other: `activation_checkpoint` and `parallel: FSDP` decide what a device keeps while
it computes, and so does `compile`. `cuda_graphs` replays what a GPU has recorded: layers that run on the processor, or
whose sizes depend on values, cannot be recorded.""",
    ),
    Page(
        "ND0717",
        "no classes to count",
        """\
`netdef test --confusion` counts which classes a net takes for which, from what its Accuracy layers compare: scores and
labels. A net without Accuracy is counted by its SoftmaxWithLoss; this one has neither.

    layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
            include { phase: TEST } }""",
    ),
    Page(
        "ND0720",
        "the processes of a run are not known",
        """\
Several processes that train together find each other by environment variables (RANK, WORLD_SIZE, MASTER_ADDR,
MASTER_PORT), which torchrun sets, and so does netdef where it starts the processes itself:

    netdef train solver.prototxt --gpu all
    torchrun --nproc-per-node 4 -m netdef train solver.prototxt""",
    ),
    Page(
        "ND0721",
        "a batch cannot be shared out to several processes",
        """\
Several processes share out every batch: each computes with a part of its rows (axis 0) or, in a recurrent net, whose
rows are time steps, with a part of its streams (axis 1). This fails if

- a layer's sizes fit the whole batch alone. A Reshape that states the batch size itself is adapted; any other is not:

      reshape_param { shape { dim: 128 dim: 400 } }   # two rows of each of 64 images
      reshape_param { shape { dim: -1 dim: 400 } }    # the same for any number of images

- a layer combines rows from all over the batch: Slice or Softmax along its axis, Filter, BatchReindex;
- a layer makes one value of all rows, and other layers compute with that;
- a Python layer without bottoms makes whole batches by itself.

With `batch: PER_DEVICE` each process takes a whole batch of its own, as in Caffe, and all these nets can be trained.
Leave it out only where an HDF5 file holds the time steps of a recurrent net.""",
    ),
    Page(
        "ND0801",
        "the training diverged",
        """\
The loss or a gradient became infinite or not a number. The message names the iteration, and the first layer whose
output was not finite there, or else the first on the way back whose gradient was not. On the CPU training stops before
that iteration changes any weight (a gradient that overflows only as it is multiplied with a layer's input is noticed in
the next one); a GPU is asked for its losses only now and then, so that weights may be spoilt by then. The snapshots
taken before are good.

Mostly the learning rate is too high: divide `base_lr` by ten, or set `clip_gradients: 10`. If it happens in
iteration 0, look at the data (numbers not scaled) and at the fillers.""",
    ),
    Page(
        "ND0802",
        "a snapshot could not be written",
        """\
The disk is full, or the folder may not be written. Training goes on and tries again at the next snapshot; the last
whole snapshot stays where it is. `snapshot_keep: 3` deletes all but the three newest as it goes.""",
    ),
    Page(
        "ND0803",
        "a run's files have no place to go",
        """\
`snapshot_prefix`, `metrics` or `--tensorboard` points into a folder that cannot be made or written. This is looked at
before training begins, so that no hours of work are lost.

    snapshot_prefix: "snapshots/lenet"     # writes snapshots/lenet_iter_500.caffemodel

As a warning in the midst of a run: the disk is full, and lines of `metrics.jsonl` or TensorBoard's files are missing
from here on. Training goes on; a snapshot that finds no room is ND0802.""",
    ),
    Page(
        "ND0804",
        "a snapshot of another run",
        """\
A solver state holds the update rule's memory for each parameter of the net. Here their number or shapes are not those
of this net and this `type`, or its weights lack a layer of this net by name: it was written by another net or with
another type of solver.

To begin anew from trained weights, which may be of another net in parts, use `--weights x.caffemodel` in place of
`--snapshot x.solverstate`.""",
    ),
    Page(
        "ND0806",
        "out of memory",
        """\
The device has no room for a batch of this size. The message names the layer that was computed (on the way back none is
known) and a `batch_size` that should fit: on a GPU by its memory and the predicted need, elsewhere half. Multiply
`iter_size` as it says: the gradients of several smaller batches are then summed, and the result is the same (but for
BatchNorm). `netdef summary` predicts the need.

On the processor a net is refused before it is built where its largest layer alone exceeds the machine's memory.""",
    ),
    Page(
        "ND0807",
        "the state of the run does not fit the solver state beside it",
        """\
The `.runstate` file holds what Caffe's solver state has no place for: random generators and the position in the data.
It is missing, damaged, or of another snapshot. Training goes on from weights and solver state alone, as Caffe's would:
right, but not bit for bit what an uninterrupted run gives.""",
    ),
    Page(
        "ND0808",
        "a damaged snapshot is passed over",
        """\
`--resume auto` goes on from the newest snapshot whose files can be read. Those of this one cannot, or one is not there;
the message says which, and why. The snapshot before it takes its place, and the iterations since are trained again.""",
    ),
    Page(
        "ND0810",
        "a process of the run is gone",
        """\
Of several processes that train together one has ended: it was killed (out of memory, for example), or its machine is
gone. The others cannot go on without its gradients, so that all end. Nothing is lost before the last snapshot:

    netdef train solver.prototxt --gpu all --resume auto

torchrun starts a run again by itself with `--max-restarts 3`; with `--resume auto` it then goes on.""",
    ),
)
