"""What do the codes ND06xx (weights and snapshots) mean?"""

from __future__ import annotations

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0601",
        "a weight or state file cannot be opened or written",
        """\
The system refused: the file is missing, is a folder, may not be read, or the disk is full. What
was at that place before is untouched: a file is written whole under another name first.

    netdef weights show lenet_iter_1000.caffemodel     # written as lenet_iter_10000.caffemodel

Mend the path or the permissions, or free some space.""",
    ),
    Page(
        "ND0602",
        "the content is none that netdef knows as weights",
        """\
Files are told apart by what they hold, never by their names. Known are `.caffemodel` and
`.binaryproto` (protobuf), Caffe's HDF5, and `.safetensors`. Common mix-ups:

- a web page or a Git LFS pointer in the place of the download: fetch the file again;
- a `.prototxt`: that is the net's text, the weights are a second file;
- a torch checkpoint (`.pth`, `.pt`): it is a pickle, which can run code when it is read, so
  netdef never does. In torch, once: `safetensors.torch.save_file(model.state_dict(),
  "weights.safetensors")`.""",
    ),
    Page(
        "ND0603",
        "the file is cut short or damaged",
        """\
A length in the file points past its end, or a field has a form that cannot be. The message gives
the byte at which the reading stopped, and the layer and blob where they are known.

    det1.caffemodel: layer "conv2", blob 0: 1440 bytes are promised at byte 6210 and 302 are left

Mostly a download or a copy broke off: compare the size or a checksum with the source, and fetch
it again.""",
    ),
    Page(
        "ND0604",
        "a blob's shape and its data disagree",
        """\
The sizes of a blob say how many numbers follow: 20x1x5x5 wants 500. Here another count is stored,
or a size is negative, or there are more than 32 axes. netdef never guesses, since a wrong guess
is a wrong weight.

A fork of Caffe may keep the numbers in a field of its own (half precision, quantised, sparse).
Then load the net in that fork and save it in single precision.""",
    ),
    Page(
        "ND0605",
        "an HDF5 file is not laid out as Caffe's, or reaches outside itself",
        """\
Caffe keeps weights in `/data/<layer>/<index>`, one float dataset a blob, and a solver's state in
`/iter`, `/learned_net`, `/current_step` and `/history/<index>`. Links to other files, datasets
that live in other files and virtual datasets are refused: a weight file must not read the rest of
the disk.

    h5ls -r weights.h5        # shows what is inside""",
    ),
    Page(
        "ND0606",
        "a safetensors header does not fit its file",
        """\
A safetensors file begins with the length of a JSON header that gives each tensor a type, a shape
and a range of bytes. Here the JSON is broken, a range lies outside the file or over another, a
range doesn't fit the shape, or the type is unknown. Most often the file is cut short: compare its
size with the source, and fetch it again.""",
    ),
    Page(
        "ND0607",
        "a file of another kind than asked for",
        """\
Caffe writes two files at a snapshot: `NAME.caffemodel` with the weights (for `--weights`) and
`NAME.solverstate` with what training needs beside them (for `--snapshot`). A `.binaryproto` is a
single blob, the mean image as a rule.

    netdef train solver.prototxt --weights  snap_iter_500.caffemodel     # begins anew with these weights
    netdef train solver.prototxt --snapshot snap_iter_500.solverstate    # goes on where it stopped""",
    ),
    Page(
        "ND0608",
        "the content would grow out of all proportion",
        """\
The file is small, but unpacked it would take far more memory than any real weight file: a
compressed dataset of zeros, or millions of empty fields. Such files are made to exhaust a
machine, so reading stops before memory is taken. If it is yours, write it without compression,
for example by `netdef weights convert` from the original.""",
    ),
    Page(
        "ND0609",
        "a number does not fit single precision",
        """\
Weights are single precision (up to 3.4e38). The file holds double precision or integers, and a
value of it would become infinite or another number. A weight of this size comes from a training
that diverged.""",
    ),
    Page(
        "ND0610",
        "a layer has another number of blobs in the file than in the net",
        """\
Weights find their layer by its name. A layer of this name is in both, but with other parameters,
mostly because one of them has a bias and the other hasn't.

    convolution_param { num_output: 20 kernel_size: 5 bias_term: false }     # one blob; the file has two

Make the layer as it was when the file was written, or rename it in the net to train it from
scratch.""",
    ),
    Page(
        "ND0611",
        "a parameter has another shape in the file than in the net",
        """\
Fine-tuning for other classes is the usual cause: the last layer has 1000 outputs in the file and
20 in the net.

    layer { name: "fc8" … num_output: 20 }          # the file's fc8 is 1000x4096

Rename the layer (`fc8_mine`): under a new name it begins at its fillers, and all others still
load. Where both shapes hold the same count, the layer is set up otherwise (`transpose`, `group`,
a 1x1 convolution in place of an InnerProduct); then the weights can be reshaped in a script and
saved again.

Files of before 2014 give each blob four sizes; these match when they are the net's sizes with
ones in front.""",
    ),
    Page(
        "ND0612",
        "net and file do not have the same layers (--strict)",
        """\
As a rule a layer that is in the file alone is skipped, and one that is in the net alone keeps its
fillers: this is how fine-tuning works. With `--strict` either is an error. Drop the flag, or mend
the name that differs.""",
    ),
    Page(
        "ND0613",
        "no layer of the net found weights",
        """\
Weights find their layer by its name, and not one name with parameters is in both. The net would
run with its fillers, that is, with random numbers. Check that the file belongs to this net:
`netdef weights show FILE` lists its layers.""",
    ),
    Page(
        "ND0614",
        "a layer's name is in the weight file twice",
        """\
Two layers of the file have the same name and both have weights. Like in Caffe, both load into the
first layer of that name in the net, so that the later one wins. Give the layers different names
and save the weights again.""",
    ),
    Page(
        "ND0615",
        "a solver state lacks a part",
        """\
A state has the iteration, the path of the weights, the step of the rate policy and the history
(one blob a parameter; two or three with Adam and AdaDelta). Without the history a resumed
training would not go on as it was.""",
    ),
    Page(
        "ND0616",
        "these weights cannot be written in that form",
        """\
Caffe's HDF5 stores a shared weight with its owner alone, and a list of blobs can have no gap, so
that such a file cannot become a `.caffemodel` without its net. Load it into the net and snapshot
from there. In HDF5 a layer's name is a path: it can be neither empty nor "." nor hold "//", and a layer `a/0` lies
where the first blob of a layer `a` does. The same code stands for an extension that names no weight format: use
`.caffemodel`, `.h5` or `.safetensors`.""",
    ),
    Page(
        "ND0617",
        "a file is too large for Caffe to read",
        """\
Protobuf in C++ reads messages of up to 2 GiB, so that Caffe cannot load a longer `.caffemodel`.
netdef can. For Caffe write HDF5 (`.caffemodel.h5`, or `snapshot_format: HDF5` in the solver).""",
    ),
    Page(
        "ND0618",
        "an old weight file's settings cannot all be upgraded",
        """\
`netdef upgrade old.caffemodel -o new.caffemodel` rewrites a file of 2013 or 2014 in today's layout. A
`.caffemodel` holds, beside its arrays, the settings of its layers (kernel sizes, bottoms and tops).
Here they use types or fields that Caffe never had: those of a fork. They are left out, while names,
types and arrays are whole, which is all that loading weights needs.""",
    ),
    Page(
        "ND0619",
        "weights that went to a part of the net, or came from a part of a file",
        """\
Weights go to the layers of the same name. A layer of the file that the net does not have is skipped; a
layer of the net that no file has keeps what its filler gave it. For fine-tuning both are meant: the new
last layer has a new name. Where they are not meant, a name differs: compare `netdef weights show` with
`netdef summary`. With `--strict` both are errors.""",
    ),
    Page(
        "ND0620",
        "weights that are NaN or infinite",
        """\
One such number makes all that is computed from it NaN: predictions mean nothing, and training goes on from nowhere.
They come from a training that diverged before its snapshot, or from a damaged file. `netdef weights show FILE` counts
them for each blob; go back to an earlier snapshot.""",
    ),
)
