"""Torch functions and modules for what `torch.nn` lacks or does otherwise than Caffe; generated graphs call them."""

from netdef.nn.activation import above
from netdef.nn.affine import scale, shift
from netdef.nn.arithmetic import constant_like, larger
from netdef.nn.class_weights import ClassWeights
from netdef.nn.constant import Constant, filled
from netdef.nn.convolution import convolve, deconvolve, embed, im2col
from netdef.nn.infogain import InfogainMatrix
from netdef.nn.loss import (
    LabelError,
    balanced_softmax_loss,
    contrastive_loss,
    euclidean_loss,
    hinge_loss,
    infogain_loss,
    multinomial_logistic_loss,
    sigmoid_cross_entropy_loss,
    softmax_loss,
)
from netdef.nn.metric import accuracy, class_accuracy
from netdef.nn.normalization import BatchNorm, lrn_across, lrn_within, mvn
from netdef.nn.output import Hdf5Writer
from netdef.nn.pooling import (
    avg_pool2d,
    global_max_pool2d,
    global_max_pool2d_with_mask,
    global_stochastic_pool2d,
    max_pool2d,
    max_pool2d_with_mask,
    stochastic_pool2d,
)
from netdef.nn.python_layer import PythonLayer
from netdef.nn.recurrent import LSTM, RNN, lstm_unit
from netdef.nn.reshaping import crop, reshape
from netdef.nn.selection import arg_max, batch_reindex, chosen_rows
from netdef.nn.weights import load_weights

__all__ = [
    "LSTM",
    "RNN",
    "BatchNorm",
    "ClassWeights",
    "Constant",
    "Hdf5Writer",
    "InfogainMatrix",
    "LabelError",
    "PythonLayer",
    "above",
    "accuracy",
    "arg_max",
    "avg_pool2d",
    "balanced_softmax_loss",
    "batch_reindex",
    "chosen_rows",
    "class_accuracy",
    "constant_like",
    "contrastive_loss",
    "crop",
    "convolve",
    "deconvolve",
    "embed",
    "euclidean_loss",
    "filled",
    "global_max_pool2d",
    "global_max_pool2d_with_mask",
    "global_stochastic_pool2d",
    "hinge_loss",
    "im2col",
    "infogain_loss",
    "larger",
    "load_weights",
    "lrn_across",
    "lrn_within",
    "lstm_unit",
    "max_pool2d",
    "max_pool2d_with_mask",
    "multinomial_logistic_loss",
    "mvn",
    "reshape",
    "scale",
    "shift",
    "sigmoid_cross_entropy_loss",
    "softmax_loss",
    "stochastic_pool2d",
]
