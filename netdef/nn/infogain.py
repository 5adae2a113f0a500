"""The matrix of an InfogainLoss, read from its file."""

from __future__ import annotations

from pathlib import Path

import torch
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from netdef.diagnostics import NetdefError, error
from netdef.schema import weights_pb2


class InfogainMatrix(nn.Module):
    """Gives H (C, C), read from a file with a BlobProto when the module is made; no parameter, not in the state_dict.

    Raises:
        NetdefError: ND0465, the file cannot be read or is no BlobProto; ND0463, it has not C * C values.

    Source: Caffe's infogain_loss_layer.cpp, LayerSetUp.
    """

    matrix: Tensor

    def __init__(self, source: str, classes: int) -> None:
        super().__init__()
        values = _read(source)
        if values.numel() != classes * classes:
            raise NetdefError(
                [
                    error(
                        "ND0463",
                        f'the infogain matrix in "{source}" has {values.numel()} values; '
                        f"{classes} classes need {classes} x {classes}",
                    )
                ]
            )
        self.register_buffer("matrix", values.reshape(classes, classes), persistent=False)

    def forward(self) -> Tensor:
        """H."""
        return self.matrix


def _read(source: str) -> Tensor:
    blob = weights_pb2.BlobProto()
    if not Path(source).is_file():
        raise NetdefError([error("ND0465", f'the infogain matrix "{source}" is not there, or no file')])
    try:
        blob.ParseFromString(Path(source).read_bytes())
    except OSError as e:
        raise NetdefError([error("ND0465", f'cannot read the infogain matrix "{source}": {e.strerror or e}')]) from e
    except DecodeError as e:
        raise NetdefError([error("ND0465", f'"{source}" is not a BlobProto file')]) from e
    return torch.tensor(list(blob.data or blob.double_data), dtype=torch.float32)
