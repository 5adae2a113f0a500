"""How does a window walk over the spatial axes of a blob? Kernel, stride, pad and dilation, read and checked once."""

from __future__ import annotations

from dataclasses import dataclass

from netdef.diagnostics.words import counted
from netdef.ir import Dim
from netdef.layers.axes import MAX_COUNT
from netdef.layers.base import Mismatch
from netdef.layers.block import Block

Sizes = tuple[int, ...]
_EXAMPLE = "add for instance `kernel_size: 3`"


@dataclass(frozen=True, slots=True)
class Window:
    """Sizes of a window, each as one number for every spatial axis or as one number for each of them."""

    kernel: Sizes
    stride: Sizes = (1,)
    pad: Sizes = (0,)
    dilation: Sizes = (1,)

    def over(self, num_axes: int) -> Window:
        """The window with exactly one number for each of `num_axes` spatial axes.

        Raises:
            Mismatch: ND0405, there is no kernel size; ND0408, a field has another count of numbers.
        """
        if num_axes and not self.kernel:
            why = f"`kernel_size` is missing, but the bottom's spatial axes are {num_axes}"
            raise Mismatch(why, bottom=0, code="ND0405", help=_EXAMPLE)
        return Window(
            _spread(self.kernel, num_axes, "kernel_size"),
            _spread(self.stride, num_axes, "stride"),
            _spread(self.pad, num_axes, "pad"),
            _spread(self.dilation, num_axes, "dilation"),
        )

    @property
    def extent(self) -> Sizes:
        """How far the window reaches on each axis: ``dilation * (kernel - 1) + 1`` (of a window made by `over`)."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def shrink(self, sizes: tuple[Dim, ...], first_axis: int) -> tuple[Dim, ...]:
        """Sizes after a convolution: ``(size + 2 pad - extent) / stride + 1``, rounded towards zero as C does.

        So a window larger than the padded input, by less than its stride, has one position, and reads zeros `beyond`.
        Source: Caffe's conv_layer.cpp, compute_output_shape.

        Raises:
            Mismatch: ND0410, the window is larger still.
        """
        return tuple(
            _positions(size, extent, self.stride[i], self.pad[i], first_axis + i)
            for i, (size, extent) in enumerate(zip(sizes, self.extent, strict=True))
        )

    def beyond(self, sizes: tuple[Dim, ...]) -> Sizes:
        """How far the window reaches beyond a padded input that is smaller than it; 0 on an axis of unknown size."""
        return tuple(
            0 if size is None else max(0, extent - size - 2 * pad)
            for size, extent, pad in zip(sizes, self.extent, self.pad, strict=True)
        )

    def grow(self, sizes: tuple[Dim, ...], first_axis: int) -> tuple[Dim, ...]:
        """Sizes after a deconvolution: ``stride * (size - 1) + extent - 2 pad``.

        Source: Caffe's deconv_layer.cpp, compute_output_shape.

        Raises:
            Mismatch: ND0410, nothing would be left.
        """
        return tuple(
            _spans(size, extent, self.stride[i], self.pad[i], first_axis + i)
            for i, (size, extent) in enumerate(zip(sizes, self.extent, strict=True))
        )

    def __str__(self) -> str:
        """``kernel 3, stride 2, pad 1``; what has no effect is left out."""
        parts = [f"kernel {by(self.kernel)}" if self.kernel else "no kernel"]
        parts += [f"stride {by(self.stride)}"] if set(self.stride) != {1} else []
        parts += [f"pad {by(self.pad)}"] if set(self.pad) != {0} else []
        parts += [f"dilation {by(self.dilation)}"] if set(self.dilation) != {1} else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Windows:
    """Where Caffe's pooling windows lie (source: pooling_layer.cpp, Reshape).

    There are ``ceil((size + 2 pad - kernel) / stride) + 1`` of them on an axis, or floor. If a pad of either axis is
    not zero, the last one is dropped when it would begin at ``size + pad`` or later. torch drops such a window in any
    case, and takes no pad over half the kernel. ONNX Runtime's `ceil_mode` has changed over the years.
    """

    window: Window
    ceil: bool

    @property
    def padded(self) -> bool:
        """Whether the rule about the last window holds."""
        return any(self.window.pad)

    def count(self, size: Dim, i: int) -> Dim:
        """How many windows there are on spatial axis `i`; not positive when none finds a place."""
        if size is None:
            return None
        k, s, p = self._numbers(i)
        room = size + 2 * p - k
        count = (-(-room // s) if self.ceil else room // s) + 1
        return count - 1 if self.padded and (count - 1) * s >= size + p else count

    def num_empty(self, size: Dim, i: int) -> Dim:
        """How many windows hold no value, as they begin at `size` or later; that takes a stride over the kernel."""
        k, s, _ = self._numbers(i)
        if self.padded or not self.ceil or s <= k:
            return 0
        count = self.count(size, i)
        return None if size is None or count is None else max(0, count - -(-size // s))

    def end(self, i: int, size: Dim = None) -> int:
        """Padding behind axis `i` with which windows that all lie inside are Caffe's windows.

        With a size, only as much as windows that hold values need. Without, the answer serves every size: with it,
        ``floor((size + pad + end - kernel) / stride) + 1`` is `count`, since
        ``min(ceil((size + 2 pad - kernel) / stride) + 1, ceil((size + pad) / stride))`` is just that.
        """
        k, s, p = self._numbers(i)
        count = self.count(size, i)
        if size is not None and count is not None:
            full = count - (self.num_empty(size, i) or 0)
            return max(0, (full - 1) * s + k - size - p)
        if not self.ceil:
            return p
        return min(p + s, k) - 1 if self.padded else s - 1

    def divisors(self, size: int, i: int) -> list[int]:
        """AVE's divisor of each window: padding counts, but only up to ``size + pad``; so it may be 0 or negative."""
        k, s, p = self._numbers(i)
        return [min(k, size + 2 * p - j * s) for j in range(self.count(size, i) or 0)]

    def as_torch(self, sizes: tuple[Dim, Dim]) -> bool:
        """Whether torch's pooling has the same windows."""
        if any(2 * p > k for p, k in zip(self.window.pad, self.window.kernel, strict=True)):
            return False
        return all(self.num_empty(size, i) == 0 for i, size in enumerate(sizes))

    def _numbers(self, i: int) -> tuple[int, int, int]:
        return self.window.kernel[i], self.window.stride[i], self.window.pad[i]


def decode_window(block: Block, *, optional: bool = False) -> Window:
    """The window in a ConvolutionParameter or PoolingParameter.

    Source: Caffe's base_conv_layer.cpp and pooling_layer.cpp, LayerSetUp. Refused are: no kernel size (ND0405), both
    spellings of one size (ND0406), one half of a pair (ND0407), a number below 1 (ND0401) or beyond int (ND0404).
    With `optional` the kernel may be missing, as over no spatial axis none is needed; `Window.over` sees to the others.
    """
    kernel = read_sizes(block, "kernel_size", "kernel")
    if not kernel and not optional:
        block.reject("ND0405", "`kernel_size` is missing", help=_EXAMPLE)
    stride = read_sizes(block, "stride", "stride") or (1,)
    pad = read_sizes(block, "pad", "pad", low=0) or (0,)
    dilated = "dilation" in block.message.DESCRIPTOR.fields_by_name
    dilation = (read_sizes(block, "dilation") if dilated else ()) or (1,)
    return Window(kernel if optional else kernel or (1,), stride, pad, dilation)


def read_sizes(block: Block, name: str, stem: str = "", *, low: int = 1) -> Sizes:
    """The numbers of the field `name`, or of ``<stem>_h`` and ``<stem>_w`` if they are set; none if all are unset."""
    pair = (f"{stem}_h", f"{stem}_w")
    if stem and (block.has(pair[0]) or block.has(pair[1])):
        return _pair(block, name, pair, low)
    return tuple(checked(block, name, int(value), index, low=low) for index, value in enumerate(_values(block, name)))


def checked(block: Block, name: str, value: int, index: int = 0, *, low: int = 1) -> int:
    """The value if it is from `low` to Caffe's largest int; otherwise it is rejected, and `low` stands in for it."""
    if value < low:
        block.reject("ND0401", f"`{name}` must be at least {low}, found {value}", name, index)
    elif value > MAX_COUNT:
        block.reject(
            "ND0404",
            f"`{name}` is {value}, more than the {MAX_COUNT} that Caffe can count to",
            name,
            index,
            help="look for a digit too many",
        )
    else:
        return value
    return low


def required(block: Block, name: str, example: int) -> int:
    """The value of an integer field without a default: at least 1, at most Caffe's largest int."""
    if block.has(name):
        return checked(block, name, int(getattr(block.message, name)))
    block.reject("ND0405", f"`{name}` is missing", help=f"add for instance `{name}: {example}`")
    return 1


def short(sizes: Sizes) -> int | Sizes:
    """One number where all axes have the same."""
    return sizes[0] if len(set(sizes)) == 1 else sizes


def by(sizes: Sizes) -> str:
    """``3`` or ``3x5``."""
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))


def _values(block: Block, name: str) -> Sizes:
    value = getattr(block.message, name)
    if block.message.DESCRIPTOR.fields_by_name[name].is_repeated:
        return tuple(value)
    return (value,) if block.has(name) else ()


def _pair(block: Block, name: str, pair: tuple[str, str], low: int) -> Sizes:
    if _values(block, name):
        block.reject(
            "ND0406", f"`{name}` and `{pair[0]}`, `{pair[1]}` exclude each other", name, help="keep one of them"
        )
    for there, missing in (pair, pair[::-1]):
        if low and not block.has(missing):
            block.reject("ND0407", f"`{there}` is set without `{missing}`", there, help=f"add `{missing}`")
            return (1, 1)
    return tuple(checked(block, part, int(getattr(block.message, part)), low=low) for part in pair)


def _spread(sizes: Sizes, num_axes: int, name: str) -> Sizes:
    if len(sizes) == num_axes:
        return sizes
    if len(sizes) == 1:
        return sizes * num_axes
    raise Mismatch(
        f"`{name}` has {counted(len(sizes), 'value')}, but the bottom's spatial axes are {num_axes}",
        bottom=0,
        code="ND0408",
        help="give one value for all axes, or one for each",
    )


def _positions(size: Dim, extent: int, stride: int, pad: int, axis: int) -> Dim:
    if size is None:
        return None
    room = size + 2 * pad - extent
    if room <= -stride:
        raise too_large(extent, size, pad, axis)
    return max(room, 0) // stride + 1


def _spans(size: Dim, extent: int, stride: int, pad: int, axis: int) -> Dim:
    if size is None:
        return None
    grown = stride * (size - 1) + extent - 2 * pad
    if grown < 1:
        raise Mismatch(
            f"nothing is left at axis {axis}: {stride} * ({size} - 1) + {extent} - 2 * {pad} = {grown}",
            bottom=0,
            code="ND0410",
            help="lower `pad`",
        )
    return grown


def too_large(extent: int, size: int, pad: int, axis: int) -> Mismatch:
    """The error of a window that finds no place."""
    room = f"{size} + 2 * {pad}" if pad else str(size)
    return Mismatch(
        f"the window reaches over {extent} at axis {axis}, the input has only {room}",
        bottom=0,
        code="ND0410",
        help="lower `kernel_size` or `dilation`, raise `pad`, or shrink the blob less in the layers before",
    )
