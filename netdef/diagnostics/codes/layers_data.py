"""ND047x and ND0486: the fields of data layers, Input and Parameter."""

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0470",
        "both a mean file and mean values",
        """
`transform_param` subtracts a mean image (`mean_file`) or one number a channel (`mean_value`), not both.

    transform_param { mean_value: 104 mean_value: 117 mean_value: 123 }
""",
    ),
    Page(
        "ND0471",
        "both `force_color` and `force_gray`",
        """
An encoded image is decoded to three channels (`force_color`) or to one (`force_gray`); it cannot be both.
""",
    ),
    Page(
        "ND0472",
        "wrong number of shapes in an Input layer",
        """
An Input layer has one `shape` for all its tops, or one for each of them, in their order.

    layer { name: "in" type: "Input" top: "data" top: "label"
            input_param { shape { dim: 1 dim: 3 dim: 28 dim: 28 } shape { dim: 1 } } }
""",
    ),
    Page(
        "ND0473",
        "a data layer without a source",
        """
`source` names the database, or the list of files, that the layer reads. A relative path is looked for in the working
folder, as Caffe does, and then in the folder of the net.

    data_param { source: "train_lmdb" batch_size: 64 backend: LMDB }
""",
    ),
    Page(
        "ND0474",
        "only one of `new_height` and `new_width`",
        """
ImageData resizes every image to `new_height` rows and `new_width` columns; it needs both, or neither.
""",
    ),
    Page(
        "ND0475",
        "WindowData without a crop size",
        """
WindowData warps each window to a square; `transform_param { crop_size: … }` says how large.
""",
    ),
    Page(
        "ND0476",
        "HDF5Data with `transform_param`",
        """
HDF5Data hands over the numbers of its files as they are. Scale and crop them when the file is made, or use a Power
or Scale layer behind it.
""",
    ),
    Page(
        "ND0477",
        "DummyData's shapes or fillers do not fit its tops",
        """
DummyData takes one `shape` for all tops or one for each, and no, one, or one `data_filler` for each. The old fields
`num`, `channels`, `height` and `width` go together, each given once for all tops or once for each; not with `shape`.
""",
    ),
    Page(
        "ND0478",
        "a negative size",
        """
Sizes of a blob are 0 or more.
""",
    ),
    Page(
        "ND0479",
        "a blob of too many elements",
        """
Caffe counts a blob's elements in 32 bits, so a blob has 2,147,483,647 of them at most (8 GB of float32).
""",
    ),
    Page(
        "ND0486",
        "a transform in a place where nothing reads it",
        """
`scale`, `mean_file`, `crop_size` and `mirror` stood in the data layer's own block until 2014. Caffe still moves them
where a net is written with `layers { … }`, and so does netdef; in a `layer { … }` of today they have no effect.

    data_param { source: "train_lmdb" scale: 0.0039 }       # no effect
    transform_param { scale: 0.0039 }                       # takes effect
""",
    ),
)
