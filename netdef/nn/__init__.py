"""Torch functions and modules for what `torch.nn` lacks or does otherwise than Caffe; generated graphs call them."""

from netdef.nn.activation import above
from netdef.nn.convolution import embed, im2col
from netdef.nn.infogain import InfogainMatrix
from netdef.nn.loss import (
    LabelError,
    contrastive_loss,
    euclidean_loss,
    hinge_loss,
    infogain_loss,
    multinomial_logistic_loss,
    sigmoid_cross_entropy_loss,
    softmax_loss,
)
from netdef.nn.metric import accuracy, class_accuracy
from netdef.nn.pooling import (
    avg_pool2d,
    global_max_pool2d,
    global_max_pool2d_with_mask,
    global_stochastic_pool2d,
    max_pool2d,
    max_pool2d_with_mask,
    stochastic_pool2d,
)
from netdef.nn.recurrent import LSTM, RNN, lstm_unit
from netdef.nn.reshaping import crop, reshape
from netdef.nn.selection import arg_max, batch_reindex, chosen_rows

__all__ = [
    "stochastic_pool2d",
    "max_pool2d_with_mask",
    "max_pool2d",
    "global_stochastic_pool2d",
    "global_max_pool2d_with_mask",
    "global_max_pool2d",
    "avg_pool2d",
    "im2col",
    "embed",
    "LSTM",
    "RNN",
    "InfogainMatrix",
    "LabelError",
    "above",
    "accuracy",
    "arg_max",
    "batch_reindex",
    "chosen_rows",
    "class_accuracy",
    "contrastive_loss",
    "crop",
    "euclidean_loss",
    "hinge_loss",
    "infogain_loss",
    "lstm_unit",
    "multinomial_logistic_loss",
    "reshape",
    "sigmoid_cross_entropy_loss",
    "softmax_loss",
]
