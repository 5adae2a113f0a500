"""Power, AbsVal, Exp, Log, Eltwise, Reduction: hand-made values, shapes with unknown sizes, and what is refused."""

from __future__ import annotations

from math import e, inf

import pytest
import torch

from netdef.layers import Mismatch
from tests.layer_decoding import assert_mismatch, assert_refused, made, shapes
from tests.layer_running import run

ELTWISE = 'type: "Eltwise" bottom: "a" bottom: "b" top: "y" eltwise_param'
THREE = 'type: "Eltwise" bottom: "a" bottom: "b" bottom: "c" top: "y" eltwise_param'
REDUCTION = 'type: "Reduction" bottom: "x" top: "y" reduction_param'


def of_one(kind: str, fields: str) -> str:
    return f'type: "{kind}" bottom: "x" top: "y" {fields}'


VALUES = [
    (of_one("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"), (2, -4), (4, 1), (2, -1)),
    (of_one("Power", "power_param { power: 3 }"), (2, 0), (8, 0), (12, 0)),
    (of_one("Power", ""), (2, -4), (2, -4), (1, 1)),
    (of_one("Power", "power_param { power: 0 }"), (2, inf), (1, 1), (0, 0)),
    (of_one("Power", "power_param { scale: 0 shift: 3 power: 2 }"), (2, inf), (9, 9), (0, 0)),
    (of_one("Power", "power_param { scale: 0 power: -1 }"), (2, 3), (inf, inf), (0, 0)),
    (of_one("Power", "power_param { scale: 0 shift: 1e30 power: 20 }"), (2, 3), (inf, inf), (0, 0)),
    (of_one("Power", "power_param { scale: 0 shift: -1e30 power: 21 }"), (2, 3), (-inf, -inf), (0, 0)),
    (of_one("AbsVal", ""), (-2, 0), (2, 0), (-1, 0)),
    (of_one("Exp", ""), (1, 0), (e, 1), (e, 1)),
    (of_one("Exp", "exp_param { base: 2 scale: 2 shift: 1 }"), (1, 0), (8, 2), (8 * 2 * 0.6931472, 4 * 0.6931472)),
    (of_one("Log", ""), (1, e), (0, 1), (1, 1 / e)),
    (of_one("Log", "log_param { base: 2 scale: 2 shift: 2 }"), (1, 3), (2, 3), (0.5 / 0.6931472, 0.25 / 0.6931472)),
]


@pytest.mark.parametrize(("text", "given", "expected", "slope"), VALUES)
def test_value_and_gradient(
    text: str, given: tuple[float, ...], expected: tuple[float, ...], slope: tuple[float, ...]
) -> None:
    x = torch.tensor(given, dtype=torch.float32, requires_grad=True)
    (y,) = run(text, x=x)
    torch.testing.assert_close(y, torch.tensor(expected, dtype=torch.float32))
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor(slope, dtype=torch.float32))


SHAPES = [
    ("eltwise", f"{ELTWISE} {{ }}", "2x3 2x3", "2x3"),
    ("eltwise learns from both", f"{ELTWISE} {{ }}", "2x? ?x3", "2x3"),
    ("eltwise, one unknown", f"{ELTWISE} {{ }}", "? 2x3", "2x3"),
    ("eltwise, all unknown", f"{ELTWISE} {{ }}", "? ?", "?"),
    ("reduce all", f"{REDUCTION} {{ }}", "2x3", "scalar"),
    ("reduce the tail", f"{REDUCTION} {{ axis: 1 }}", "?x3x4", "?,"),
    ("reduce the last", f"{REDUCTION} {{ axis: -1 }}", "2x?x4", "2x?"),
    ("reduce unknown", f"{REDUCTION} {{ axis: 1 }}", "?", "?,"),
    ("reduce unknown from the end", f"{REDUCTION} {{ axis: -1 }}", "?", "?"),
    ("power", of_one("Power", ""), "2x?", "2x?"),
]


@pytest.mark.parametrize(("text", "bottoms", "top"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_shape(text: str, bottoms: str, top: str) -> None:
    assert made(text).infer(shapes(bottoms)) == shapes(top)


MISMATCHES = [
    (f"{ELTWISE} {{ }}", "64x1x57x57 64x1x56x56", "ND0304", "Eltwise inputs differ at axis 2: 57 and 56"),
    (f"{ELTWISE} {{ }}", "2x3x4 2x12", "ND0304", "Eltwise inputs differ in their number of axes: 3 and 2"),
    (f"{THREE} {{ }}", "2x? 2x3 2x4", "ND0304", "Eltwise inputs differ at axis 1: 3 and 4"),
    (f"{REDUCTION} {{ axis: 2 }}", "2x3", "ND0412", "`axis: 2` is out of range: the bottom has 2 axes (2x3)"),
]


@pytest.mark.parametrize(("text", "bottoms", "code", "message"), MISMATCHES)
def test_mismatch(text: str, bottoms: str, code: str, message: str) -> None:
    assert_mismatch(text, bottoms, code, message)


def test_the_clash_names_both_bottoms() -> None:
    with pytest.raises(Mismatch) as caught:
        made(f"{THREE} {{ }}").infer(shapes("2x3 2x3 2x4"))
    assert (caught.value.bottom, caught.value.other) == (2, 0)


REFUSED = [
    (f"{ELTWISE} {{ coeff: 1 }}", "ND0420", "1", "`coeff` has 1 value for 2 bottoms"),
    (f"{ELTWISE} {{ coeff: 1 coeff: 2 coeff: 3 }}", "ND0420", "1", "`coeff` has 3 values for 2 bottoms"),
    (f"{ELTWISE} {{ operation: MAX coeff: 1 }}", "ND0420", "1", "`coeff` has 1 value for 2 bottoms"),
    (f"{ELTWISE} {{ operation: PROD coeff: 1 coeff: 2 }}", "ND0421", "1", "PROD has no use for it"),
    (f"{ELTWISE} {{ operation: MAX coeff: 1 coeff: 2 }}", "ND0421", "1", "MAX takes no notice of it"),
    (of_one("Exp", "exp_param { base: 0 }"), "ND0419", "0", "`base` must be above 0, or -1 for e; found 0"),
    (of_one("Exp", "exp_param { base: inf }"), "ND0419", "inf", "`base` must be finite, or -1 for e; found inf"),
    (of_one("Log", "log_param { base: 1 }"), "ND0419", "1", "above 0 and other than 1"),
]


@pytest.mark.parametrize(("text", "code", "spot", "message"), REFUSED)
def test_refused(text: str, code: str, spot: str, message: str) -> None:
    assert_refused(text, code, spot, message)


def leaves(*rows: tuple[float, ...]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(row, requires_grad=True) for name, row in zip("abc", rows, strict=False)}


def test_equal_values_go_to_the_second_bottom() -> None:
    given = leaves((1.0, 2.0, 2.0), (1.0, 1.0, 3.0), (1.0, 2.0, 3.0))
    (y,) = run(f"{THREE} {{ operation: MAX }}", **given)
    y.sum().backward()
    assert y.tolist() == [1, 2, 3]
    assert [leaf.grad.tolist() for leaf in given.values() if leaf.grad is not None] == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("stable", ["true", "false"])
def test_the_product_has_a_gradient_at_zero(stable: str) -> None:
    given = leaves((0.0, 2.0), (3.0, 5.0), (4.0, 0.0))
    run(f"{THREE} {{ operation: PROD stable_prod_grad: {stable} }}", **given)[0].sum().backward()
    assert [leaf.grad.tolist() for leaf in given.values() if leaf.grad is not None] == [[12, 0], [0, 0], [0, 10]]


def test_weighted_sum() -> None:
    (y,) = run(f"{THREE} {{ coeff: 2 coeff: -1 coeff: 1 }}", **leaves((1.0,), (10.0,), (100.0,)))
    assert y.tolist() == [92]
