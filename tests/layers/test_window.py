"""Windows: how they are written, how many places they find, and what is refused."""

from __future__ import annotations

from math import ceil

import pytest

from netdef.layers import Mismatch
from netdef.layers.convolution import Convolution
from netdef.layers.window import Window, Windows
from tests.layer_decoding import assert_refused, made

CONV = 'type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 4'
IM2COL = 'type: "Im2col" bottom: "x" top: "y" convolution_param {'
POOL = 'type: "Pooling" bottom: "x" top: "y" pooling_param {'

WRITTEN = [
    ("kernel_size: 3", Window((3,))),
    ("kernel_size: 3 stride: 2 pad: 1 dilation: 2", Window((3,), (2,), (1,), (2,))),
    ("kernel_size: 3 kernel_size: 5 pad: 1 pad: 2", Window((3, 5), (1,), (1, 2))),
    ("kernel_h: 3 kernel_w: 5 stride_h: 1 stride_w: 2", Window((3, 5), (1, 2))),
    ("kernel_size: 3 pad_h: 1", Window((3,), (1,), (1, 0))),
]


@pytest.mark.parametrize(("text", "window"), WRITTEN)
def test_written(text: str, window: Window) -> None:
    layer = made(f"{CONV} {text} }}")
    assert isinstance(layer, Convolution)
    assert layer.window == window


REFUSED = [
    (CONV, "kernel_size: 0", "ND0401", "0", "`kernel_size` must be at least 1, found 0"),
    (CONV, "kernel_size: 3 stride: 0", "ND0401", "0", "`stride` must be at least 1, found 0"),
    (CONV, "kernel_size: 3 dilation: 0", "ND0401", "0", "`dilation` must be at least 1, found 0"),
    (CONV, "kernel_size: 3 pad: 4000000000", "ND0404", "4000000000", "more than the 2147483647"),
    (CONV, "kernel_size: 3 kernel_h: 2 kernel_w: 2", "ND0406", "3", "`kernel_h`, `kernel_w` exclude each other"),
    (CONV, "kernel_h: 3", "ND0407", "3", "`kernel_h` is set without `kernel_w`"),
    (CONV, "kernel_size: 3 stride_w: 2", "ND0407", "2", "`stride_w` is set without `stride_h`"),
    (CONV, "kernel_size: 3 kernel_size: 0", "ND0401", "0", "found 0"),
    (POOL, "", "ND0405", "pooling_param", "`kernel_size` is missing"),
    (IM2COL, "", "ND0405", "convolution_param", "`kernel_size` is missing"),
    (POOL, "kernel_size: 2 stride: 0", "ND0401", "0", "`stride` must be at least 1, found 0"),
    (POOL, "kernel_w: 2", "ND0407", "2", "`kernel_w` is set without `kernel_h`"),
]


@pytest.mark.parametrize(("head", "text", "code", "spot", "message"), REFUSED)
def test_refused(head: str, text: str, code: str, spot: str, message: str) -> None:
    assert_refused(f"{head} {text} }}", code, spot, message)


def test_one_number_for_all_axes() -> None:
    assert Window((3,), (2,), (0, 1)).over(2) == Window((3, 3), (2, 2), (0, 1), (1, 1))


def test_wrong_count() -> None:
    with pytest.raises(Mismatch, match="`pad` has 2 values, but the bottom's spatial axes are 3") as caught:
        Window((3,), pad=(1, 2)).over(3)
    assert caught.value.code == "ND0408"


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window((3,)), "kernel 3"),
        (Window(()), "no kernel"),
        (Window((3, 3), (2, 2), (1, 1), (1, 1)), "kernel 3, stride 2, pad 1"),
        (Window((3, 5), (1, 1), (0, 2), (2, 2)), "kernel 3x5, pad 0x2, dilation 2"),
    ],
)
def test_in_words(window: Window, text: str) -> None:
    assert str(window) == text


def places(size: int, k: int, s: int, p: int, rounds_up: bool, any_pad: bool) -> int:
    """Caffe's formula, word by word."""
    count = (ceil((size + 2 * p - k) / s) if rounds_up else (size + 2 * p - k) // s) + 1
    if any_pad and (count - 1) * s >= size + p:
        count -= 1
    return count


@pytest.mark.parametrize("rounds_up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("s", [1, 2, 3, 4])
def test_one_end_serves_every_size(k: int, s: int, rounds_up: bool) -> None:
    for p, other in [(p, other) for p in range(k) for other in (0, 1)]:
        windows = Windows(Window((k, 2), (s, 1), (p, other), (1, 1)), rounds_up)
        for size in range(1, 16):
            expected = places(size, k, s, p, rounds_up, bool(p or other))
            assert windows.count(size, 0) == expected
            if expected >= 1:
                assert (size + p + windows.end(0) - k) // s + 1 == expected
                held = expected - (windows.num_empty(size, 0) or 0)
                assert (size + p + windows.end(0, size) - k) // s + 1 == held


def test_divisors_are_clipped_at_the_pad() -> None:
    windows = Windows(Window((3, 3), (2, 2), (1, 1), (1, 1)), ceil=True)
    assert windows.divisors(6, 0) == [3, 3, 3, 2]  # windows from -1, 1, 3, 5; all end at 7 at most
    assert windows.count(6, 0) == 4


def test_a_window_may_begin_beyond_the_blob() -> None:
    windows = Windows(Window((1, 1), (3, 3), (0, 0), (1, 1)), ceil=True)
    assert [windows.count(15, 0), windows.count(14, 1)] == [6, 6]
    assert [windows.num_empty(15, 0), windows.num_empty(14, 1)] == [1, 1]
    assert windows.divisors(15, 0)[-2:] == [1, 0]
    assert windows.divisors(14, 1)[-2:] == [1, -1]
