"""What makes a lowered graph as fast and small as a net written by hand: fused affine BatchNorm, ReLU in place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import fx, nn

import netdef.nn as caffe_nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_KEEPS_ITS_INPUT = (*_CONVOLUTIONS, nn.Linear, caffe_nn.BatchNorm)
"""Modules whose backward pass reads their input, never their output, so that the output may be overwritten."""


def fuse(graph: fx.Graph, root: nn.Module, axes: dict[str, int]) -> None:
    """Rewrite `graph` in place; `axes` tells the number of axes of each parameter by its FX target."""
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target is caffe_nn.scale:
            _fuse_scale(graph, root, node, axes)
    for node in graph.nodes:
        if node.op == "call_function" and node.target is F.relu and _may_overwrite(root, node.args[0]):
            node.kwargs = {"inplace": True}


def _fuse_scale(graph: fx.Graph, root: nn.Module, scale: fx.Node, axes: dict[str, int]) -> None:
    """Let BatchNorm multiply and shift by itself where Scale follows it along the channels, as torch's own does."""
    x, weight, axis, *bias = scale.args
    if not (isinstance(x, fx.Node) and isinstance(weight, fx.Node) and axis == 1 and len(x.users) == 1):
        return
    if not isinstance(_module(root, x), caffe_nn.BatchNorm) or len(x.args) != 1 or axes.get(str(weight.target)) != 1:
        return
    operands = [node for node in (weight, *bias) if isinstance(node, fx.Node)]
    for operand in operands:
        x.prepend(operand)
    x.args = (*x.args, *operands)
    scale.replace_all_uses_with(x)
    graph.erase_node(scale)


def _may_overwrite(root: nn.Module, x: object) -> bool:
    """Whether only this ReLU reads `x`, and nothing on the way back needs its values."""
    if not isinstance(x, fx.Node) or len(x.users) != 1:
        return False
    added = x.op == "call_function" and x.target is torch.add
    return added or isinstance(_module(root, x), _KEEPS_ITS_INPUT)


def _module(root: nn.Module, node: fx.Node) -> nn.Module | None:
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None
