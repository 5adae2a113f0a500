"""ND0400 to ND0449: values in the parameters of layers that slide, multiply, normalize or add."""

from netdef.diagnostics.codes.page import Page

PAGES = (
    Page(
        "ND0401",
        "a number is too small",
        """
Sizes, strides and counts begin at 1 (a `pad` at 0). A stride of 0, for one, would never leave its place.

    convolution_param { num_output: 20 kernel_size: 5 stride: 0 }    # error: at least 1
""",
    ),
    Page(
        "ND0402",
        "`sparse` with another filler than gaussian",
        """
Only the gaussian filler knows `sparse`, the number of values that stay other than 0 for each output.

    weight_filler { type: "xavier" sparse: 15 }      # error: write type: "gaussian", or drop `sparse`
""",
    ),
    Page(
        "ND0403",
        "unknown filler",
        """
A filler's `type` is one of constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear. Names are in lower
case.

    weight_filler { type: "Xavier" }      # error: did you mean "xavier"?
""",
    ),
    Page(
        "ND0426",
        "a filler that cannot fill",
        """
A filler's numbers are finite; `uniform` needs `min` at most `max`, `gaussian` a `std` of at least 0. `bilinear` makes
the kernels of a Deconvolution that enlarges images: its blob has 4 axes, and height and width are the same.

    weight_filler { type: "uniform" min: 1 max: -1 }      # error: -1 to 1 was meant
""",
    ),
    Page(
        "ND0404",
        "a number is too large",
        """
Caffe counts in 32-bit integers: no size, stride or count can pass 2147483647. Mostly a digit or a sign slipped in: a
negative number written to an unsigned field arrives as a very large one.

    inner_product_param { num_output: 4000000000 }
""",
    ),
    Page(
        "ND0405",
        "a needed field is missing",
        """
Some fields have no default, since none would make sense: the number of outputs of a layer, the size of a window.

    convolution_param { kernel_size: 3 }      # error: `num_output` is missing
""",
    ),
    Page(
        "ND0406",
        "one size in two spellings",
        """
A window's size is given once, either for all axes (`kernel_size: 3`, or one `kernel_size` for each axis) or as a pair
(`kernel_h: 3 kernel_w: 5`). The same holds for `stride` and `pad`. Keep the one that you mean.

    convolution_param { num_output: 8 kernel_size: 3 kernel_h: 3 kernel_w: 5 }
""",
    ),
    Page(
        "ND0407",
        "half of a pair",
        """
`kernel_h` needs `kernel_w`, and `stride_h` needs `stride_w`: the other one has no default.

    pooling_param { kernel_h: 2 stride: 2 }      # add kernel_w: 2, or write kernel_size: 2
""",
    ),
    Page(
        "ND0408",
        "wrong number of values for a window",
        """
A repeated `kernel_size`, `stride`, `pad` or `dilation` has one value for all spatial axes, or one for each of them.
The spatial axes are those behind the channels (behind `axis`, which is 1 unless told otherwise).

    convolution_param { num_output: 8 kernel_size: 3 kernel_size: 3 kernel_size: 3 }    # on 64x3x224x224: error
""",
    ),
    Page(
        "ND0409",
        "`group` does not divide the channels",
        """
With `group: g` the input's and the output's channels are cut in g equal parts, and each output part sees one input
part. So both numbers must be multiples of g.

    convolution_param { num_output: 20 kernel_size: 3 group: 3 }      # 20 is not a multiple of 3
""",
    ),
    Page(
        "ND0410",
        "the window does not fit",
        """
A window needs at least one place: `dilation * (kernel_size - 1) + 1` values on each axis, in an input of
`size + 2 * pad` values. (For a Deconvolution it is the output that must not vanish.) Mostly the layers before it have
made the blob smaller than expected; `netdef summary` shows where. A window that is too large by less than its stride
has one place all the same, and reads zeros beyond the blob, as in Caffe.

    convolution_param { num_output: 8 kernel_size: 7 }      # on a bottom of 64x16x5x5: error
""",
    ),
    Page(
        "ND0411",
        "wrong number of axes",
        """
Some layers know only images: blobs of four axes, N x C x H x W. A layer in front of it has perhaps flattened the blob
(InnerProduct does); Reshape can give the axes back.

    layer { type: "Reshape" bottom: "ip1" top: "image" reshape_param { shape { dim: 0 dim: 16 dim: 5 dim: 5 } } }
""",
    ),
    Page(
        "ND0412",
        "no such axis",
        """
Axes count from 0, or from -1 backwards. A blob of N x C x H x W has the axes 0 to 3, or -4 to -1.

    inner_product_param { num_output: 10 axis: 4 }      # on a bottom of four axes: error
""",
    ),
    Page(
        "ND0413",
        "a blob would be too large",
        """
A blob holds at most 2147483647 values (8 GiB), as in Caffe. The message tells the shape that was asked for. Look for a
digit too many, or for an InnerProduct on a blob that should have been pooled first.

    layer { type: "InnerProduct" bottom: "conv1" top: "ip" inner_product_param { num_output: 4096 } }
    # on 64x64x224x224: a weight of 4096x3211264
""",
    ),
    Page(
        "ND0414",
        "pooling with too much padding",
        """
The pad of a pooling window must be smaller than its kernel. Otherwise the first window would lie in the padding alone,
and have nothing to pool.

    pooling_param { kernel_size: 2 pad: 2 }      # at most pad: 1
""",
    ),
    Page(
        "ND0415",
        "global pooling with a window",
        """
`global_pooling: true` pools each plane to one value, whatever its size. A kernel cannot be given then, and `pad` and
`stride` have nothing to do.

    pooling_param { pool: AVE global_pooling: true kernel_size: 7 }      # drop one of the last two
""",
    ),
    Page(
        "ND0416",
        "stochastic pooling with padding",
        """
STOCHASTIC pooling draws one of the values under its window, and padding is none. Use MAX or AVE, or no `pad`.

    pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 pad: 1 }
""",
    ),
    Page(
        "ND0417",
        "a mask of another pooling than MAX",
        """
The second top of a Pooling layer tells where each maximum was found; AVE and STOCHASTIC pooling have none.

    layer { type: "Pooling" bottom: "x" top: "y" top: "mask" pooling_param { pool: AVE kernel_size: 2 } }
""",
    ),
    Page(
        "ND0418",
        "LRN over an even number of neighbours",
        """
LRN's region lies symmetrically around each value, so `local_size` is odd.

    lrn_param { local_size: 4 }      # use 3 or 5
""",
    ),
    Page(
        "ND0419",
        "a base that is none",
        """
The `base` of Exp must be positive, and that of Log not 1 either. -1, the default, stands for e.

    log_param { base: 1 }      # no power of 1 is 2
""",
    ),
    Page(
        "ND0420",
        "wrong number of coefficients",
        """
Eltwise's SUM takes one `coeff` for each bottom, in their order, or none at all (then all are 1).

    layer { type: "Eltwise" bottom: "a" bottom: "b" top: "y" eltwise_param { coeff: -1 } }    # write coeff: 1 coeff: -1
""",
    ),
    Page(
        "ND0421",
        "coefficients without a sum",
        """
`coeff` weighs the terms of Eltwise's SUM. PROD refuses it; MAX takes no notice of it, as in Caffe, which is only
warned about.

    eltwise_param { operation: PROD coeff: 2 coeff: 1 }
""",
    ),
    Page(
        "ND0422",
        "a factor with too many axes",
        """
Scale and Bias lay their factor along axes of the first bottom, `num_axes` of them from `axis` on. The bottom must have
as many; so must it for a factor that comes as the second bottom.

    scale_param { axis: 2 num_axes: 3 }      # on a bottom of four axes only 2 and 3 are there
""",
    ),
    Page(
        "ND0423",
        "`num_axes` below -1",
        """
`num_axes` counts the axes that a factor runs along: 0 makes it one number for all, -1 takes all axes from `axis` on.

    bias_param { num_axes: -2 }
""",
    ),
    Page(
        "ND0424",
        "BatchNorm's statistics with a learning rate",
        """
The three blobs of BatchNorm (mean, variance, and how much they hold) are counted in each forward. A gradient has no
say in them, so their `lr_mult` must be 0, which it is when there is no `param` at all. Mind that `param {}` alone
means a rate of 1. With a `param` for each of the three, as old files have, any rate is taken as 0, as in Caffe, which
is only warned about. The factors that are learned belong to a Scale layer behind.

    layer { type: "BatchNorm" bottom: "x" top: "x" param { lr_mult: 1 } }
    layer { type: "Scale" bottom: "x" top: "x" scale_param { bias_term: true } }
""",
    ),
    Page(
        "ND0425",
        "a pyramid with too many levels",
        """
Level i of spatial pyramid pooling cuts each axis in 2^i bins. On a small blob a bin would lie in the padding alone.

    spp_param { pyramid_height: 4 }      # 8 bins of 2 values, on an axis of only 9
""",
    ),
)
