"""What becomes of an error that a net's generated code raises?"""

from __future__ import annotations

from torch import fx, nn


def untouched(module: nn.Module) -> None:
    """Let errors come out of each fx module in `module` as they were raised.

    torch.fx prints those of a function that the generated code calls, with a piece of that code, which tells a netdef
    user nothing, and cuts off their traceback, by which the layer is found. Each fx module has a class of its own.
    """
    for child in module.modules():
        if isinstance(child, fx.GraphModule):
            type(child)._wrapped_call = staticmethod(nn.Module.__call__)  # type: ignore[attr-defined]
