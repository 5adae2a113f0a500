"""How does a layer that a user wrote in Python, in pycaffe's manner, run within torch?"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from math import prod
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from netdef.ir import Phase
from netdef.layers.base import Mismatch
from netdef.nn.four_axes import FourAxes
from netdef.nn.python_faults import Guard, described
from netdef.schema import netdef_pb2 as pb
from netdef.schema.suggest import nearest

Array = NDArray[Any]
Sizes = tuple[int, ...]
_PROTOCOL = ("setup", "reshape", "forward", "backward")


class LayerBlob(FourAxes):
    """A bottom, top or parameter as a user's layer sees it: `data` and `diff` are live numpy arrays."""

    def __init__(self, data: Array) -> None:
        self._data = data
        self._diff: Array | None = None

    @property
    def data(self) -> Array:
        """The values."""
        return self._data

    @property
    def diff(self) -> Array:
        """The gradients; zeros when first asked for."""
        if self._diff is None:
            self._diff = np.zeros_like(self._data)
        return self._diff

    @property
    def shape(self) -> Sizes:
        """The sizes of all axes."""
        return tuple(self._data.shape)

    def reshape(self, *shape: int) -> None:
        """Give it other sizes; values stay where their number does."""
        sizes = tuple(map(int, shape))
        if sizes == self.shape:
            return
        kept = prod(sizes) == self.count
        self._data = self._data.reshape(sizes) if kept else np.zeros(sizes, self._data.dtype)
        self._diff = None


class LayerBlobs(list[LayerBlob]):
    """The parameters of a user's layer."""

    def add_blob(self, *shape: int) -> LayerBlob:
        """Add a parameter of zeros; in `setup` only."""
        self.append(LayerBlob(np.zeros(shape, np.float32)))
        return self[-1]


class Layer:
    """What a layer in pycaffe's manner derives from.

    Attributes:
        param_str: the text of `python_param { param_str: … }`.
        phase: 0 in TRAIN, 1 in TEST.
        blobs: its parameters; `setup` adds them by `self.blobs.add_blob(*shape)`.
    """

    param_str: str = ""
    phase: int = 0
    blobs: LayerBlobs

    def __init__(self, param: Any = None) -> None:
        """Nothing is done with the LayerParameter; a class that overrides this takes it and hands it on."""

    def setup(self, bottom: Sequence[LayerBlob], top: Sequence[LayerBlob]) -> None:
        """Called once, before the first `reshape`."""

    def reshape(self, bottom: Sequence[LayerBlob], top: Sequence[LayerBlob]) -> None:
        """Called before each `forward`: give the tops their shapes."""

    def forward(self, bottom: Sequence[LayerBlob], top: Sequence[LayerBlob]) -> None:
        """Fill the tops' `data`."""

    def backward(self, top: Sequence[LayerBlob], propagate_down: Sequence[bool], bottom: Sequence[LayerBlob]) -> None:
        """Fill the bottoms' `diff` where `propagate_down` says so, and add to the parameters' `diff`."""


class PythonLayer(nn.Module):
    """A layer of pycaffe's protocol as a torch module, on the CPU whatever the device of its bottoms.

    `reshape` and `forward` are called at each forward, `backward` at each backward that reaches it; its parameters
    are `blob0`, `blob1`, … Source: Caffe's python_layer.hpp.

    Made, it raises what the user's code does; running, a RunError (ND0484) that tells of it. `ready` is what `set_up`
    gave for the same arguments.

    Attributes:
        guard: what tells of faults of the user's code.
    """

    def __init__(
        self,
        module: str,
        layer: str,
        param_str: str,
        phase: Phase,
        num_tops: int,
        bottoms: Sequence[Sequence[int | None]],
        over: Sequence[int] = (),
        ready: tuple[Layer, list[LayerBlob]] | None = None,
    ) -> None:
        super().__init__()
        self.num_tops, self.over = num_tops, tuple(over)
        self.guard = Guard(module, layer)
        zeros = [LayerBlob(np.zeros([size or 1 for size in sizes], np.float32)) for sizes in bottoms]
        self.layer, self.last = ready or set_up(find_class(module, layer), param_str, phase, zeros, num_tops, over)
        for index, blob in enumerate(self.layer.blobs):
            self.register_parameter(f"blob{index}", nn.Parameter(torch.from_numpy(blob.data)))
        self.register_buffer("_like", torch.empty(0), persistent=False)

    @torch.compiler.disable  # type: ignore[untyped-decorator, unused-ignore]
    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The tops, one tensor or several."""
        params = [cast(Tensor, getattr(self, f"blob{i}")) for i in range(len(self.layer.blobs))]
        tops = cast(tuple[Tensor, ...], _Run.apply(self, len(bottoms), *bottoms, *params))  # type: ignore[no-untyped-call]
        return tops[0] if self.num_tops == 1 else tops

    def run(self, bottom: list[LayerBlob], params: Sequence[Tensor]) -> list[LayerBlob]:
        """The tops of one forward."""
        top = self._tops(bottom)
        self.layer.blobs[:] = [_blob(param) for param in params]
        with self.guard.running():
            self.layer.reshape(bottom, top)
            self.layer.forward(bottom, top)
        self.guard.demand([blob.shape for blob in top])
        return top

    def reshaped(self, *bottoms: Tensor) -> list[Sizes]:
        """The shapes that the layer gives its tops for these bottoms."""
        bottom = [_blob(tensor) for tensor in bottoms]
        top = self._tops(bottom)
        with self.guard.running():
            self.layer.reshape(bottom, top)
        return [blob.shape for blob in top]

    def _tops(self, bottom: list[LayerBlob]) -> list[LayerBlob]:
        """New tops, which begin as the last ones ended: some layers shape them in `setup` alone."""
        dtype = bottom[0].data.dtype if bottom else _on_cpu(cast(Tensor, self._like)).dtype
        before = [LayerBlob(blob.data.astype(dtype)) for blob in self.last]
        self.last = [bottom[i] if i in self.over else blob for i, blob in enumerate(before)]
        return self.last

    def settle(self, tensors: Sequence[Tensor], bottom: Sequence[LayerBlob], before: Sequence[Array]) -> None:
        """See to what the user's code wrote into its bottoms: it stays between live blobs, and is an error elsewhere.

        Elsewhere other layers have computed with the values that it overwrote, and gradients are to be made of them.
        """
        for index, (tensor, blob, old) in enumerate(zip(tensors, bottom, before, strict=True)):
            if index in self.over or np.array_equal(blob.data, old, equal_nan=True):
                continue
            if not self.guard.live:
                help = "let the blob be its top as well, then it works in place; or write into a copy"
                raise self.guard.failure(f"{self.guard.name} wrote into the data of its bottom {index}", help=help)
            tensor.data.copy_(torch.from_numpy(blob.data))

    def extra_repr(self) -> str:
        """The class."""
        return self.guard.name


class _Run(torch.autograd.Function):
    """One forward and one backward of a user's layer."""

    @staticmethod
    def forward(ctx: Any, module: PythonLayer, num_bottoms: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        device = tensors[0].device if tensors else cast(Tensor, module._like).device
        bottom = [_blob(tensor) for tensor in tensors[:num_bottoms]]
        before = [blob.data.copy() for blob in bottom]
        for index in module.over:
            bottom[index] = LayerBlob(before[index])
        top = module.run(bottom, tensors[num_bottoms:])
        module.settle(tensors[:num_bottoms], bottom, before)
        ctx.module, ctx.bottom, ctx.top, ctx.device = module, bottom, top, device
        return tuple(torch.from_numpy(np.ascontiguousarray(blob.data)).to(device) for blob in top)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        layer, wanted = ctx.module.layer, ctx.needs_input_grad[2:]
        for blob in (*ctx.bottom, *layer.blobs):
            blob.diff[...] = 0
        for blob, gradient in zip(ctx.top, gradients, strict=True):
            blob.diff[...] = _on_cpu(gradient)
        with ctx.module.guard.running():
            layer.backward(ctx.top, list(wanted[: len(ctx.bottom)]), ctx.bottom)
        blobs = (*ctx.bottom, *layer.blobs)
        pairs = zip(blobs, wanted, strict=True)
        return None, None, *(torch.from_numpy(b.diff.copy()).to(ctx.device) if wants else None for b, wants in pairs)


def find_class(module: str, name: str) -> type[Any]:
    """The user's class, from a module on Python's path or in the working folder.

    Raises:
        Mismatch: ND0483, there is none, or it is neither a torch module nor a layer of pycaffe's protocol.
    """
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109 - the string that Python's path holds
        sys.path.append(here)
    try:
        home = import_module(module)
    except Exception as fault:
        message = f'the module "{module}" cannot be imported: {described(fault)}{_raised_at(fault)}'
        raise Mismatch(message, code="ND0483", help=_how_to_import(module, fault)) from fault
    found = getattr(home, name, None)
    if not isinstance(found, type):
        near = nearest(name, [key for key, value in vars(home).items() if isinstance(value, type)])
        help = f"did you mean {near}?" if near else ""
        raise Mismatch(f'the module "{module}" has no class "{name}"', code="ND0483", help=help)
    if not (issubclass(found, nn.Module) or all(callable(getattr(found, method, None)) for method in _PROTOCOL)):
        message = f"{module}.{name} is neither a torch module nor has it the methods {', '.join(_PROTOCOL)}"
        raise Mismatch(message, code="ND0483", help="derive it from torch.nn.Module or netdef.pycaffe.Layer")
    return found


def _raised_at(fault: Exception) -> str:
    """The line of a user's module that ended its import; nothing where none was reached."""
    frames = traceback.extract_tb(fault.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith("<frozen") and frame.filename != __file__]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


def _how_to_import(module: str, fault: Exception) -> str:
    if isinstance(fault, SyntaxError):
        return "a module of Python 2's time has to be brought to Python 3"
    if isinstance(fault, ImportError) and fault.name == "caffe":
        return "write `import netdef.pycaffe as caffe` in it"
    if isinstance(fault, ModuleNotFoundError) and fault.name in (module, module.partition(".")[0]):
        return "set PYTHONPATH to its folder"
    return ""


def set_up(
    kind: type[Any], param_str: str, phase: Phase, bottom: list[LayerBlob], num_tops: int, over: Sequence[int] = ()
) -> tuple[Layer, list[LayerBlob]]:
    """An instance of the user's class after `setup` and `reshape`, and its tops; those at `over` are the bottoms."""
    layer = _instance(kind, param_str)
    layer.param_str = layer.param_str_ = param_str  # the second is pycaffe's name of 2014
    layer.phase = 0 if phase == "TRAIN" else 1
    layer.blobs = LayerBlobs()
    top = [bottom[i] if i in over else LayerBlob(np.zeros((), np.float32)) for i in range(num_tops)]
    layer.setup(bottom, top)
    layer.reshape(bottom, top)
    return cast(Layer, layer), top


def _instance(kind: type[Any], param_str: str) -> Any:
    """An object of the user's class, which gets a LayerParameter as in Caffe if it takes an argument."""
    python_param = {"module": kind.__module__, "layer": kind.__name__, "param_str": param_str}
    try:
        inspect.signature(kind).bind(None)
    except (TypeError, ValueError):  # it takes none, or is of a kind that does not tell
        return kind()
    return kind(pb.LayerParameter(type="Python", python_param=python_param))


def _blob(tensor: Tensor) -> LayerBlob:
    """A tensor as a user's layer sees it. Numpy has no bfloat16: what autocast made smaller is float32 again."""
    return LayerBlob(_on_cpu(tensor))


def _on_cpu(tensor: Tensor) -> Array:
    values = tensor.detach().cpu().contiguous()
    return (values if values.dtype == torch.float64 else values.float()).numpy()
