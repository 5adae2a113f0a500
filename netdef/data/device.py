"""How does a batch get to the device, its arithmetic done there?"""

from __future__ import annotations

from functools import partial

import torch

from netdef.data.batch import Array, Images, Top


def finish(top: Top, device: torch.device | str = "cpu", *, pin: bool = False) -> torch.Tensor:
    """One top as a float32 tensor on the device; bytes travel as bytes.

    `pin` copies through page-locked memory, so that the transfer to a GPU runs beside its work. The result equals
    `Images.finish` to the last bit: the same two float32 operations, each rounded.
    """
    send = partial(_send, device=device, pin=pin)
    if not isinstance(top, Images):
        return send(top)
    values = send(top.pixels).to(torch.float32)
    if top.mean is not None:
        mean = send(top.mean)
        values = values - (mean if top.parts is None else _cut(mean, send(top.parts), values))
    return values * top.scale if top.scale != 1.0 else values


def _cut(mean: torch.Tensor, parts: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The part of the mean for each image, of the sizes of `values`: see Images.parts."""
    height, width = (torch.arange(size, device=mean.device) for size in values.shape[2:])
    rows = parts[:, :1] + height
    columns = parts[:, 1:2] + torch.where(parts[:, 2:] > 0, width.flip(0), width)
    return mean[:, rows[:, :, None], columns[:, None, :]].movedim(1, 0)


def _send(array: Array, device: torch.device | str, pin: bool) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if pin else tensor.to(device)
