"""How are a module's parameters Caffe's blobs, layer by layer, to be read from and written to weight files?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from netdef.ir import Graph
from netdef.targets.torch.build import tensors
from netdef.targets.torch.parts import own, part_of, whole


@dataclass(frozen=True, slots=True)
class LayerBlobs:
    """The parameters of one layer in Caffe's order, float32 on the CPU; views of the module's own where it is there."""

    name: str
    type: str
    blobs: tuple[NDArray[np.float32], ...]


def net_layers(graph: Graph) -> list[tuple[str, list[tuple[str, tuple[int, ...]]]]]:
    """Each layer's name with its parameters' names and shapes: what `netdef.weights.match` asks for."""
    return [(node.name, [(spec.name, spec.shape.known_sizes()) for spec in node.specs]) for node in graph.nodes]


def shared_blobs(graph: Graph) -> set[tuple[str, int]]:
    """The (layer name, index) of every parameter that another layer owns."""
    found = set()
    owned: set[str] = set()
    for node in graph.nodes:
        for index, param in enumerate(node.params):
            if param.id in owned:
                found.add((node.name, index))
            owned.add(param.id)
    return found


def load_arrays(module: nn.Module, graph: Graph, arrays: Mapping[tuple[str, int], NDArray[Any]]) -> None:
    """Copy arrays into the parameters, by layer name and index; of two layers with one name the first gets them."""
    held = tensors(module, graph)
    seen: set[str] = set()
    with torch.no_grad():
        for node in graph.nodes:
            for index, param in enumerate(node.params):
                array = None if node.name in seen else arrays.get((node.name, index))
                if array is not None:
                    target = held[param.id]
                    full = torch.tensor(array, dtype=target.dtype).reshape(target.shape)
                    own(target).copy_(part_of(full, target))
            seen.add(node.name)


def layer_blobs(module: nn.Module, graph: Graph) -> Iterator[LayerBlobs]:
    """Every layer of the net with its parameters; one without any has none.

    Where several processes hold the parameters in parts, each must ask for every layer at the same time.
    """
    held = tensors(module, graph)
    for node in graph.nodes:
        full = (whole(own(held[param.id]), held[param.id]) for param in node.params)
        arrays = (tensor.detach().float().cpu().numpy() for tensor in full)
        shapes = (spec.shape.known_sizes() for spec in node.specs)
        blobs = tuple(array.reshape(shape) for array, shape in zip(arrays, shapes, strict=True))
        yield LayerBlobs(node.name, node.type, blobs)
