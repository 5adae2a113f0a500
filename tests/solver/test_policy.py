"""Are the learning rates Caffe's, and torch's where Caffe has none?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from netdef.solver.policy import Policy, single


def rates(policy: Policy, count: int) -> list[float]:
    step, found = 0, []
    for iteration in range(count):
        step = policy.current_step(iteration, step)
        found.append(policy.rate(iteration, step))
    return found


# By hand: the formula of each policy at iterations 0 … 4.
CASES = {
    "fixed": (Policy("fixed", 0.5), [0.5] * 5),
    "step": (Policy("step", 1, gamma=0.5, stepsize=2), [1, 1, 0.5, 0.5, 0.25]),
    "exp": (Policy("exp", 1, gamma=0.5), [1, 0.5, 0.25, 0.125, 0.0625]),
    "inv": (Policy("inv", 1, gamma=1, power=1), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
    "multistep": (Policy("multistep", 1, gamma=0.1, stepvalues=(1, 3)), [1, 0.1, 0.1, 0.01, 0.01]),
    "poly": (Policy("poly", 1, power=2, max_iter=4), [1, 9 / 16, 1 / 4, 1 / 16, 0]),
    "linear": (Policy("linear", 1, max_iter=4, min_lr=0.2), [1, 0.8, 0.6, 0.4, 0.2]),
    "cosine": (Policy("cosine", 1, max_iter=4), [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0]),
    "warmup": (Policy("fixed", 1, warmup_iter=4, warmup_start_lr=0.2), [0.2, 0.4, 0.6, 0.8, 1]),
    "warmup_of_step": (Policy("step", 1, gamma=0.5, stepsize=2, warmup_iter=4), [0, 0.25, 0.25, 0.375, 0.25]),
    "sigmoid": (
        Policy("sigmoid", 2, gamma=1, stepsize=0),
        [1, 2 / (1 + np.exp(-1)), *(2 / (1 + np.exp(-i)) for i in (2, 3, 4))],
    ),
}


@pytest.mark.parametrize(("policy", "expected"), CASES.values(), ids=CASES.keys())
def test_formula(policy: Policy, expected: list[float]) -> None:
    assert rates(policy, 5) == pytest.approx(expected, rel=1e-6)


def test_multistep_catches_up_one_step_an_iteration() -> None:
    policy = Policy("multistep", 1, gamma=0.5, stepvalues=(1, 2, 3))
    assert policy.current_step(100, 0) == 1
    assert policy.current_step(101, 1) == 2
    assert policy.current_step(102, 3) == 3


@pytest.mark.parametrize(
    ("policy", "iteration", "expected"),
    [
        (Policy("exp", 1, gamma=10), 100000, float("inf")),
        (Policy("poly", 1, power=1, max_iter=10), 20, 0.0),
        (Policy("sigmoid", 1, gamma=1, stepsize=10**9), 0, 0.0),
    ],
    ids=["overflow", "poly_beyond_max_iter", "sigmoid_far_before"],
)
def test_ends_of_the_range(policy: Policy, iteration: int, expected: float) -> None:
    assert policy.rate(iteration, 0) == pytest.approx(expected, abs=1e-300)


@pytest.mark.parametrize("value", [0.1, 1e300, -1e300, 1e-300, 3.0])
def test_single_rounds_as_numpy(value: float) -> None:
    with np.errstate(over="ignore"):
        assert single(value) == float(np.float32(value))


def scheduled(make, base_lr: float, count: int) -> list[float]:
    """The rates that a scheduler of torch gives."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base_lr)
    scheduler, found = make(optimizer), []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("policy", "make"),
    [
        (
            Policy("cosine", 0.3, max_iter=20, min_lr=0.01),
            lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=20, eta_min=0.01),
        ),
        (
            Policy("cosine", 0.3, max_iter=20, min_lr=0.01, restart_iter=6),
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=6, eta_min=0.01),
        ),
        (
            Policy("cosine", 0.3, max_iter=20, restart_iter=3, restart_mult=2),
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2),
        ),
        (
            Policy("linear", 0.3, max_iter=20, min_lr=0.03),
            lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, total_iters=20),
        ),
        (
            Policy("fixed", 0.3, warmup_iter=5, warmup_start_lr=0.03),
            lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, total_iters=5),
        ),
    ],
    ids=["cosine", "restarts", "longer_restarts", "linear", "warmup"],
)
def test_torchs_schedulers(policy: Policy, make) -> None:
    assert rates(policy, 20) == pytest.approx(scheduled(make, 0.3, 20), rel=1e-6, abs=1e-8)
