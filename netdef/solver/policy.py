"""Which learning rate does an iteration get?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import copysign, cos, exp, inf, pi
from struct import Struct

_SINGLE = Struct("<f")


@dataclass(frozen=True, slots=True)
class Policy:
    """A learning rate policy, with i the iteration from 0; the first seven are Caffe's (sgd_solver.cpp).

    | kind | rate |
    | --- | --- |
    | fixed | base_lr |
    | step | base_lr * gamma ^ floor(i / stepsize) |
    | exp | base_lr * gamma ^ i |
    | inv | base_lr * (1 + gamma * i) ^ -power |
    | multistep | base_lr * gamma ^ (number of stepvalues reached) |
    | poly | base_lr * (1 - i / max_iter) ^ power |
    | sigmoid | base_lr / (1 + exp(-gamma * (i - stepsize))) |
    | linear | min_lr + (base_lr - min_lr) * (1 - i / max_iter) |
    | cosine | min_lr + (base_lr - min_lr) * (1 + cos(pi * t / T)) / 2 |
    | plateau | max(base_lr * gamma ^ (drops made), min_lr) |

    For cosine, t counts from the last restart and T is the length of the descent (Loshchilov and Hutter 2017,
    equation 5); without restarts, t = i and T = max_iter. A warm-up stands before any policy: over its iterations
    the rate goes in a straight line from `warmup_start_lr` to what the policy says.

    What Caffe rounds to single precision on the way is rounded here too, so that the rates are Caffe's to the bit.
    """

    kind: str
    base_lr: float
    gamma: float = 0.0
    power: float = 0.0
    stepsize: int = 0
    stepvalues: tuple[int, ...] = ()
    max_iter: int = 0
    min_lr: float = 0.0
    restart_iter: int = 0
    restart_mult: int = 1
    warmup_iter: int = 0
    warmup_start_lr: float = 0.0

    def current_step(self, iteration: int, before: int) -> int:
        """How many drops have been made, given how many were made `before`.

        multistep makes at most one drop an iteration, however many stepvalues are passed: after a resume with
        other stepvalues it catches up one by one.
        """
        if self.kind == "step":
            return iteration // self.stepsize
        if self.kind == "multistep" and before < len(self.stepvalues) and iteration >= self.stepvalues[before]:
            return before + 1
        return before

    def rate(self, iteration: int, step: int) -> float:
        """The rate of `iteration` when `step` drops have been made."""
        rate = POLICIES[self.kind](self, iteration, step)
        if iteration < self.warmup_iter:
            rate = self.warmup_start_lr + (rate - self.warmup_start_lr) * iteration / self.warmup_iter
        return single(rate)


def single(value: float) -> float:
    """`value` rounded to single precision, as Caffe holds it; infinite where it is out of range."""
    try:
        return float(_SINGLE.unpack(_SINGLE.pack(value))[0])
    except OverflowError:
        return copysign(inf, value)


def _power(base: float, exponent: float) -> float:
    """The power of a base that is not negative, infinite where it is out of range."""
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return inf


def _inverse(p: Policy, i: int) -> float:
    return p.base_lr * single(_power(single(1 + single(p.gamma * single(i))), -p.power))


def _polynomial(p: Policy, i: int) -> float:
    left = single(1 - single(single(i) / single(p.max_iter)))
    return p.base_lr * single(_power(max(left, 0.0), p.power))


def _sigmoid(p: Policy, i: int) -> float:
    exponent = single(-p.gamma * single(i - p.stepsize))
    return p.base_lr * single(1 / single(1 + single(exp(min(exponent, 700.0)))))


def _linear(p: Policy, i: int) -> float:
    return p.min_lr + (p.base_lr - p.min_lr) * max(1 - i / p.max_iter, 0.0)


def _cosine(p: Policy, i: int) -> float:
    since, length = _descent(p, i) if p.restart_iter else (min(i, p.max_iter), p.max_iter)
    return p.min_lr + (p.base_lr - p.min_lr) * (1 + cos(pi * since / length)) / 2


def _descent(p: Policy, i: int) -> tuple[int, int]:
    """Iterations since the last restart, and those from it to the next."""
    if p.restart_mult == 1:
        return i % p.restart_iter, p.restart_iter
    length = p.restart_iter
    while i >= length:
        i, length = i - length, length * p.restart_mult
    return i, length


POLICIES: dict[str, Callable[[Policy, int, int], float]] = {
    "fixed": lambda p, i, step: p.base_lr,
    "step": lambda p, i, step: p.base_lr * _power(p.gamma, step),
    "exp": lambda p, i, step: p.base_lr * _power(p.gamma, i),
    "inv": lambda p, i, step: _inverse(p, i),
    "multistep": lambda p, i, step: p.base_lr * _power(p.gamma, step),
    "poly": lambda p, i, step: _polynomial(p, i),
    "sigmoid": lambda p, i, step: _sigmoid(p, i),
    "linear": lambda p, i, step: _linear(p, i),
    "cosine": lambda p, i, step: _cosine(p, i),
    "plateau": lambda p, i, step: max(p.base_lr * _power(p.gamma, step), p.min_lr),
}

NEEDS: dict[str, tuple[str, ...]] = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
    "linear": ("max_iter",),
    "cosine": ("max_iter",),
    "plateau": ("gamma", "plateau"),
}
"""The fields without which a policy means nothing."""
