"""What do the codes ND09xx (targets, export, ONNX) mean?"""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0901",
        "a layer has no counterpart in ONNX",
        """\
The layer computes something that ONNX has no operators for, or that makes no sense in a model that only predicts:
a loss, a data layer, a layer of Python code. netdef never replaces it by something similar.

    layer { name: "script" type: "Python" bottom: "fc8" top: "out" python_param { module: "m" layer: "L" } }

Losses and Accuracy go by themselves when a net is exported. For another layer: take it out of the exported net with
`include { not_stage: "deploy" }` and export with `--stage deploy`, then compute it beside the model.""",
    ),
    Page(
        "ND0902",
        "a layer has no rule for torch",
        """\
The layer is known, so that `netdef check` understands files that hold it, but netdef cannot run it in PyTorch, or not
with these fields.

    layer { name: "win" type: "WindowData" … }

The message says what is missing. If the layer matters in one phase only, give it `include { phase: … }` and work in the
other one; else express it by other layers, or by a `Python` layer.""",
    ),
    Page(
        "ND0903",
        "the opset is outside of what can be written and run",
        """\
An ONNX model states the version of the operator set that it uses. netdef writes 13 and newer; the upper end is what the
installed onnx can check and the installed ONNX Runtime can run.

    netdef export net.prototxt -o m.onnx --opset 9      # too old

Leave `--opset` out for the default, which all current runtimes take. For a newer one, update onnx and onnxruntime.""",
    ),
    Page(
        "ND0904",
        "the size of an input is not known",
        """\
An exported model needs the sizes of its inputs, the batch aside. A data layer takes them from its database, which is
not there, or the `Input` layer has no shape.

    layer { name: "data" type: "Data" top: "data" data_param { source: "not_here_lmdb" batch_size: 32 } }

Say them: `netdef export net.prototxt --shape data=32x3x227x227 …`, or write a `crop_size` or an `input_param`.""",
    ),
    Page(
        "ND0905",
        "a layer does not work with this batch size",
        """\
By default the batch axis of an exported model is free. Some nets fix it: a Reshape with the batch written out, a Slice
along axis 0, a recurrent net with the number of its sequences in a shape.

    layer { type: "Reshape" … reshape_param { shape { dim: 64 dim: -1 } } }     # 64 is the batch

Write `dim: 0` (copy) in the place of the number, or fix the batch: `--batch 64`.""",
    ),
    Page(
        "ND0906",
        "the net computes nothing",
        """\
No layer takes part, or none is left that computes an output after labels, losses, metrics and data layers are gone, so
that there is nothing to export, eject or fold. Mostly `--phase`, `--level` or `--stage` select no layers.

    netdef export train_val.prototxt --stage deply -o m.onnx      # a slip: no layer has this stage

`netdef summary` with the same options shows which layers take part.""",
    ),
    Page(
        "ND0907",
        "onnx refuses the model",
        """\
The file breaks a rule of ONNX: the checker or strict shape inference found a node that contradicts its inputs.

If netdef has just made the model, this is a fault of netdef's: please report the net and the message. If you gave the
model to `netdef verify`, it was changed or damaged after it was written: export it again.""",
    ),
    Page(
        "ND0908",
        "the ONNX model computes something else than torch",
        """\
Each blob that both sides share is compared on random input; one differs by more than 1e-4 of its largest value, and by
more than ten times what rounding alone does to it (torch in single against torch in double precision). The message
names the first one in the order of the net: the fault lies in that layer, what comes after it only inherits it.

    ONNX Runtime and torch part at blob "pool5" of layer "pool5": relative error 0.31, allowed 0.0001

The model is not written. Possible reasons: a rule of netdef's is wrong for this case, or the runtime's operator is
(try another `--opset`); with `netdef verify`, the model was made from other weights. A net that decides by a threshold
on almost equal numbers can part by rounding alone: try another `--seed`. `--no-verify` writes the model without a
proof.

Where the message speaks of onnx's evaluator, ONNX Runtime agrees with torch and the operators' own definition, run in
numpy, does not: other runtimes may take its side. `--no-reference` leaves it out.""",
    ),
    Page(
        "ND0909",
        "ONNX Runtime does not take or cannot run the model",
        """\
The model is well formed, but ONNX Runtime has no kernel for one of its operators in this version of the operator set,
or ran out of memory.

    netdef export net.prototxt -o m.onnx --opset 17

Try the default opset, or a smaller `--batch` where memory is short.""",
    ),
    Page(
        "ND0910",
        "the file is no ONNX model, or cannot be read",
        """\
`netdef verify` reads an `.onnx` file: one protobuf message of type ModelProto. Here the system refuses the file, or its
content is something else, cut short, or its data file (`m.onnx.data`) is missing.

    netdef verify net.prototxt net.prototxt        # the first file must be the model

Compare its size with the source, and fetch or export it again.""",
    ),
    Page(
        "ND0911",
        "the model and the net do not belong together",
        """\
`netdef verify` compares a model with the net that it was made from: inputs of the same names and sizes, and blobs that
bear the same names. Here they do not match, so that there is nothing to compare.

    netdef verify lenet.onnx alexnet.prototxt --weights alexnet.caffemodel

Give the prototxt that the model was exported from, with the same `--phase`, `--level` and `--stage`. A model that
another tool wrote has names of its own; netdef can only compare the outputs and blobs whose names it knows.""",
    ),
    Page(
        "ND0912",
        "the model is exported with random weights",
        """\
No `--weights` were given, or they lack layers of the net, so that parameters have the values that their fillers gave
them, and BatchNorm a mean of 0 and a variance of 1. Such a model has the right structure and speed, but predicts
nothing.

    netdef export deploy.prototxt --weights snapshot_iter_10000.caffemodel -o m.onnx""",
    ),
    Page(
        "ND0913",
        "a weight is NaN or infinite",
        """\
A parameter holds values that are no numbers, mostly because training diverged before the weights were saved. Every
output would be NaN as well, so nothing is written.

    loss = nan in the training log                 # look for the first one, and take a snapshot from before it

Train again from an earlier snapshot with a smaller `base_lr`, or with `clip_gradients`.""",
    ),
    Page(
        "ND0914",
        "the model cannot be written",
        """\
The system refused to write the file: the folder is missing, may not be written to, or the disk is full. What was
at that place before is untouched.

    netdef export net.prototxt -o models/m.onnx    # is there a folder `models`?""",
    ),
    Page(
        "ND0915",
        "torch cannot run the net that is to be verified",
        """\
To prove a model, netdef runs the net in torch at two batch sizes. Here torch refused: out of memory, or a layer that
works with the batch size of the prototxt alone.

    netdef export net.prototxt -w w.caffemodel -o m.onnx --batch 1

Fix the batch size, to the one that stands in the prototxt or to a smaller one where memory is short.""",
    ),
    Page(
        "ND0930",
        "a layer cannot stand in a file of its own",
        """\
`netdef eject` writes PyTorch source that imports nothing but torch. This layer needs more: it runs your own Python
code, or reads a file when the net is built.

    layer { name: "loss" type: "InfogainLoss" … infogain_loss_param { source: "H.binaryproto" } }

Eject the net of phase TEST, which has no losses, or give the matrix of an InfogainLoss as its third bottom. A `Python`
layer's class has to be called by hand: eject the net up to its bottom.""",
    ),
    Page(
        "ND0931",
        "the folded net computes something else",
        """\
`netdef fold` and `netdef export` put BatchNorm, Scale and Bias into the weights of the layers around them, then run
both nets on the same random input. One of the blobs that are left differs by more than 1e-4 of its largest value, and
by more than ten times what rounding does to it.

    the folded net parts from the net at blob "res5c": relative error 0.002

Mostly a BatchNorm's variance is close to 0 in some channel, so that its factor is huge: a channel that is dead, or
weights that do not belong to the net. Try another `--seed`; with `--no-fold` a net is exported as it is.""",
    ),
)
