"""How is a tensor that several processes hold in parts seen: by this process's part, or whole?

What no process shares out is both: its own part, and the whole.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def in_parts(tensor: Tensor) -> TypeGuard[DTensor]:
    """Whether each process holds a part of it alone."""
    module = sys.modules.get("torch.distributed.tensor")  # while nobody has imported it, nothing is in parts
    return module is not None and isinstance(tensor, module.DTensor)


def own(tensor: Tensor) -> Tensor:
    """This process's part, in the same memory, without a gradient's past."""
    if not in_parts(tensor):
        return tensor
    part: Tensor = tensor.detach().to_local()  # type: ignore[attr-defined]  # detaching is typed as leaving a Tensor
    return part


def whole(part: Tensor, like: Tensor) -> Tensor:
    """From every process's part of something that is shared out as `like` is: all of it, for each of them.

    Each process must ask at the same time.
    """
    if not in_parts(like):
        return part
    from torch.distributed.tensor import DTensor

    joined = DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )
    return joined.full_tensor()


def part_of(full: Tensor, like: Tensor) -> Tensor:
    """This process's part of something that is to be shared out as `like` is; each process has all of it."""
    if not in_parts(like):
        return full
    from torch.distributed.tensor import distribute_tensor

    # Without a source: nothing is sent.
    return distribute_tensor(full.to(like.device), like.device_mesh, like.placements, src_data_rank=None).to_local()
