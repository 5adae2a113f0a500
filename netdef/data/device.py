"""How does a batch get to the device, its arithmetic done there?"""

from __future__ import annotations

import torch

from netdef.data.batch import Images, Top


def finish(top: Top, device: torch.device | str = "cpu", *, pin: bool = False) -> torch.Tensor:
    """One top as a float32 tensor on the device; bytes travel as bytes.

    `pin` copies through page-locked memory, so that the transfer to a GPU runs beside its work. The result equals
    `Images.finish` to the last bit: the same two float32 operations, each rounded.
    """
    if not isinstance(top, Images):
        return _send(torch.from_numpy(top), device, pin)
    values = _send(torch.from_numpy(top.pixels), device, pin).to(torch.float32)
    if top.mean is not None:
        values = values - _send(torch.from_numpy(top.mean), device, pin)
    return values * top.scale if top.scale != 1.0 else values


def _send(tensor: torch.Tensor, device: torch.device | str, pin: bool) -> torch.Tensor:
    return tensor.pin_memory().to(device, non_blocking=True) if pin else tensor.to(device)
