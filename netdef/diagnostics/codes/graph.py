"""ND03xx: how layers are joined to a net, and the shapes of what flows between them."""

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0301",
        "unknown layer type",
        """
`type` is none of Caffe's layer types. Types are written in CamelCase, and upper and lower case count.

    layer { name: "ip" type: "InnerProdukt" bottom: "x" top: "ip" }    # did you mean "InnerProduct"?

Layers of a fork of Caffe (Permute, Normalize, PriorBox, ROIPooling, Upsample, …) are not part of it.
""",
    ),
    Page(
        "ND0302",
        "unknown bottom",
        """
A layer reads a blob that no layer before it writes. Layers are worked in the order of the file, so a blob must be
written further up, by a layer that takes part in the same phase, level and stages. Where a check has to guess the
phases and the net is whole in the other one (a deploy net that leaves a layer out of TRAIN), this is only warned about;
`--phase`, or a check of the solver, decides.

    layer { name: "relu1" type: "ReLU" bottom: "con1" top: "con1" }    # the blob is "conv1"
""",
    ),
    Page(
        "ND0303",
        "a blob is written twice",
        """
Two layers of one phase have the same top. A layer may write a blob again only in place: when it is also its bottom,
at the same index.

    layer { name: "a" type: "Sigmoid" bottom: "x" top: "z" }
    layer { name: "b" type: "TanH"    bottom: "x" top: "z" }    # give this top another name
""",
    ),
    Page(
        "ND0304",
        "shapes do not fit",
        """
The shapes of a layer's bottoms do not fit the layer, or each other. The labels show both shapes and the layers that
they come from.

A frequent cause: Caffe's Pooling rounds up where Convolution rounds down, so two branches of a net can differ by one.
`round_mode: FLOOR` makes Pooling round down.

    layer { name: "a" type: "Pooling"     bottom: "x" top: "a" pooling_param { kernel_size: 3 stride: 2 } }
    layer { name: "b" type: "Convolution" bottom: "x" top: "b"
            convolution_param { num_output: 3 kernel_size: 3 stride: 2 } }
    layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }    # of 112 rows 56 and 55 are left
""",
    ),
    Page(
        "ND0305",
        "wrong number of bottoms or tops",
        """
Each layer type takes a certain number of bottoms and tops; SoftmaxWithLoss, for one, needs predictions and labels:

    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" top: "loss" }    # add bottom: "label"
""",
    ),
    Page(
        "ND0306",
        "a layer cannot work in place",
        """
A top has its bottom's name, so the result would be written over the input. Element-wise layers (ReLU, Dropout, Scale,
BatchNorm, …) can do that; a layer that still needs its input, or whose top has another shape, cannot.

    layer { name: "fc" type: "InnerProduct" bottom: "x" top: "x" inner_product_param { num_output: 10 } }    # top: "fc"
""",
    ),
    Page(
        "ND0307",
        "a shared parameter has two shapes",
        """
Layers that name a `param` alike share it, so their shapes must be the same, or, with `share_mode: PERMISSIVE`, their
numbers of elements.

    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 5 }
            param { name: "w" } }
    layer { name: "b" type: "InnerProduct" bottom: "y" top: "b" inner_product_param { num_output: 4 }
            param { name: "w" } }
""",
    ),
    Page(
        "ND0308",
        "more `param` fields than parameters",
        """
The first `param` belongs to a layer's first parameter (the weight), the second to its second (the bias). A
Convolution with `bias_term: false` has one parameter, so it takes one `param` at most.

    layer { name: "relu" type: "ReLU" bottom: "x" top: "x" param { lr_mult: 1 } }    # a ReLU learns nothing
""",
    ),
    Page(
        "ND0309",
        "wrong number of loss weights",
        """
`loss_weight` is given for no top (a loss layer's first top then counts with 1, all others with 0) or for each top.

    layer { name: "sum" type: "Reduction" bottom: "x" top: "sum" loss_weight: 1 loss_weight: 0 }    # one is enough
""",
    ),
    Page(
        "ND0310",
        "wrong number of `propagate_down`",
        """
`propagate_down` is given for no bottom or for each one, in their order.

    layer { name: "sum" type: "Eltwise" bottom: "x" bottom: "y" top: "sum" propagate_down: false }    # of which?
""",
    ),
    Page(
        "ND0311",
        "the net's `input` fields do not add up",
        """
Each `input` at the top of a net needs one `input_shape`, or four `input_dim` (number, channels, height, width), and
one of the two ways alone. Today an Input layer says the same:

    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 227 dim: 227 } } }
""",
    ),
    Page(
        "ND0312",
        "a supplied shape does not fit the net",
        """
`--shape BLOB=NxCxHxW` names a blob that the net does not have, or contradicts what the net itself says of it.
""",
    ),
    Page(
        "ND0313",
        "both `include` and `exclude`",
        """
A layer is chosen by its `include` rules (one that holds is enough) or by its `exclude` rules (one that holds drops
it). Both at once would leave open which one wins.

    layer { name: "relu" type: "ReLU" bottom: "x" top: "x" include { phase: TRAIN } exclude { stage: "deploy" } }
""",
    ),
    Page(
        "ND0314",
        "a shared parameter has two multipliers",
        """
`lr_mult` and `decay_mult` belong to the parameter. Where several layers share it, state them once, or alike.

    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 2 }
            param { name: "w" lr_mult: 1 } }
    layer { name: "b" type: "InnerProduct" bottom: "y" top: "b" inner_product_param { num_output: 2 }
            param { name: "w" lr_mult: 2 } }
""",
    ),
    Page(
        "ND0315",
        "two layers have one name",
        """
Caffe accepts it, but loads weights by layer name: the first of the two gets them. Give each layer its own name,
unless only one of them has parameters.

    layer { name: "act" type: "ReLU" bottom: "x" top: "x" }
    layer { name: "act" type: "TanH" bottom: "y" top: "y" }    # name: "act2"
""",
    ),
    Page(
        "ND0316",
        "a net without layers",
        """
The file holds no `layer`. Perhaps it is empty, or a solver: a solver has `net: "…"` and `base_lr`.
""",
    ),
    Page(
        "ND0317",
        "a layer with a phase of its own",
        """
`phase` in a layer does not choose it: the layer takes part in both phases, and netdef has all layers of a net work by
the net's phase. (Caffe would have this one work by its own: a Dropout with `phase: TEST` drops nothing in training.)
Layers are chosen by rules:

    layer { name: "drop" type: "Dropout" bottom: "x" top: "x" phase: TEST }    # include { phase: TEST }
""",
    ),
    Page(
        "ND0320",
        "a solver's net is not there",
        """
`net`, `train_net` or `test_net` names a file that does not exist. A relative path is looked for in the working folder,
as Caffe does, and then in the folder of the solver.
""",
    ),
    Page(
        "ND0321",
        "sizes that only a database tells",
        """
A net can be checked without its database, but not trained or exported: the number of channels and the height and
width of the images decide the size of the parameters. Put the database in its place, or, where no data are needed
(`netdef export`, `netdef time`), supply the sizes:

    netdef export train_val.prototxt --shape data=64x3x227x227 -o m.onnx
""",
    ),
)
