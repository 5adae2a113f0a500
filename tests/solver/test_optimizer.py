"""Is one update what Caffe's formulas say? Against a naive loop in double precision over single numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
import torch

from netdef.solver.optimizer import CaffeOptimizer, Learnable
from netdef.solver.rules import SGD, AdaDelta, AdaGrad, Adam, AdamW, Nesterov, RMSProp, Rule

State = list[float]
Naive = Callable[[float, State, float, int], tuple[float, State]]
"""Gradient, history, rate and t of one number to what is subtracted from it and its new history."""

NAIVE: dict[str, tuple[Rule, Naive]] = {
    "sgd": (SGD(0.9), lambda g, h, r, t: (0.9 * h[0] + r * g, [0.9 * h[0] + r * g])),
    "sgd_plain": (SGD(0.0), lambda g, h, r, t: (r * g, [r * g])),
    "nesterov": (
        Nesterov(0.9),
        lambda g, h, r, t: (1.9 * (0.9 * h[0] + r * g) - 0.9 * h[0], [0.9 * h[0] + r * g]),
    ),
    "adagrad": (AdaGrad(1e-3), lambda g, h, r, t: (r * g / (sqrt(h[0] + g * g) + 1e-3), [h[0] + g * g])),
    "rmsprop": (
        RMSProp(0.98, 1e-3),
        lambda g, h, r, t: (r * g / (sqrt(0.98 * h[0] + 0.02 * g * g) + 1e-3), [0.98 * h[0] + 0.02 * g * g]),
    ),
    "adadelta": (AdaDelta(0.95, 1e-3), lambda g, h, r, t: _adadelta(g, h, r)),
    "adam": (Adam(0.9, 0.99, 1e-3), lambda g, h, r, t: _adam(g, h, r, t)),
}


def _adadelta(g: float, h: State, r: float) -> tuple[float, State]:
    a = 0.95 * h[0] + 0.05 * g * g
    u = g * sqrt((h[1] + 1e-3) / (a + 1e-3))
    return r * u, [a, 0.95 * h[1] + 0.05 * u * u]


def _adam(g: float, h: State, r: float, t: int) -> tuple[float, State]:
    m, v = 0.9 * h[0] + 0.1 * g, 0.99 * h[1] + 0.01 * g * g
    return r * sqrt(1 - 0.99**t) / (1 - 0.9**t) * m / (sqrt(v) + 1e-3), [m, v]


SHAPES = ((3, 2), (4,), (2, 2), (3,))
MULTS = ((1.0, 1.0), (2.0, 0.0), (0.0, 1.0), (0.5, 2.0))
"""lr_mult and decay_mult; the third is frozen, but decays."""


def naive(naive: Naive, rows: int, weights: list[np.ndarray], grads: list[list[np.ndarray]], **s: float | str):
    """All updates, number by number; frozen weights have no gradient."""
    weights = [w.astype(np.float64) for w in weights]
    history = [[np.zeros(w.shape) for w in weights] for _ in range(rows)]
    for t, step in enumerate(grads, 1):
        step = [g.astype(np.float64) * bool(lr) for g, (lr, _) in zip(step, MULTS, strict=True)]
        norm = sqrt(sum((g * g).sum() for g in step))
        scale = min(1.0, s["clip"] / norm) if s["clip"] > 0 else 1.0
        for k, (w, g) in enumerate(zip(weights, step, strict=True)):
            for i in np.ndindex(w.shape):
                pull = w[i] if s["kind"] == "L2" else np.sign(w[i])
                gradient = g[i] * scale / s["iter_size"] + s["decay"] * MULTS[k][1] * pull
                update, new = naive(gradient, [row[k][i] for row in history], 0.05 / t * MULTS[k][0], t)
                for row, value in zip(history, new, strict=True):
                    row[k][i] = value
                w[i] -= update
    return weights, [row[k] for row in history for k in range(len(weights))]


@pytest.mark.parametrize(
    "settings",
    [
        {"decay": 0.0, "kind": "L2", "clip": -1.0, "iter_size": 1},
        {"decay": 0.1, "kind": "L2", "clip": 1.0, "iter_size": 1},
        {"decay": 0.1, "kind": "L1", "clip": 2.0, "iter_size": 3},
    ],
    ids=["plain", "l2_clip", "l1_clip_iter_size"],
)
@pytest.mark.parametrize("name", NAIVE)
def test_updates(name: str, settings: dict[str, float | str]) -> None:
    rule, one = NAIVE[name]
    rng = np.random.default_rng(1)
    start = [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]
    grads = [[rng.standard_normal(shape).astype(np.float32) for shape in SHAPES] for _ in range(5)]
    tensors = [torch.tensor(w, requires_grad=bool(lr)) for w, (lr, _) in zip(start, MULTS, strict=True)]
    optimizer = CaffeOptimizer(
        [Learnable(w, *mults) for w, mults in zip(tensors, MULTS, strict=True)],
        rule,
        weight_decay=settings["decay"],
        regularization=settings["kind"],
        clip=settings["clip"],
        iter_size=settings["iter_size"],
    )
    for t, step in enumerate(grads, 1):
        for w, g in zip(tensors, step, strict=True):
            w.grad = torch.tensor(g) if w.requires_grad else None
        optimizer.rate = 0.05 / t
        optimizer.step()
        optimizer.zero_grad()
    weights, history = naive(one, rule.rows, start, grads, **settings)
    for found, expected in zip(tensors, weights, strict=True):
        np.testing.assert_allclose(found.detach(), expected, rtol=2e-5, atol=1e-6)
    for row, expected in zip(optimizer.history(), history, strict=True):
        np.testing.assert_allclose(row, expected, rtol=2e-5, atol=1e-7)


def test_weights_without_a_gradient_still_decay_and_coast() -> None:
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = CaffeOptimizer([Learnable(used), Learnable(unused)], SGD(0.5), rate=0.1, weight_decay=1.0)
    used.grad = torch.zeros(2)
    optimizer.step()
    optimizer.step()
    # w1 = 1 - 0.1; v2 = 0.5 * 0.1 + 0.1 * 0.9; w2 = w1 - v2
    np.testing.assert_allclose(unused.detach(), [0.76, 0.76], rtol=1e-6)
    assert torch.equal(used, unused)


def test_history_goes_into_another_optimizer() -> None:
    a = [torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)]
    b = copy.deepcopy(a)
    first, second = (CaffeOptimizer(map(Learnable, w), Adam(0.9, 0.999, 1e-8), rate=0.1) for w in (a, b))
    for w in a:
        w.grad = torch.full_like(w, 0.3)
    first.step()
    second.load_history([row.clone() for row in first.history()])
    assert all(torch.equal(x, y) for x, y in zip(first.history(), second.history(), strict=True))


def test_a_closure_makes_the_gradients() -> None:
    w = torch.ones(1, requires_grad=True)
    optimizer = CaffeOptimizer([Learnable(w)], SGD(0.0), rate=0.5)

    def closure() -> torch.Tensor:
        loss = w.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert w.item() == 0.0


def updated(
    rule: Rule, start: list[np.ndarray], grads: list[list[np.ndarray]], **settings: float
) -> list[torch.Tensor]:
    """The weights after an update for each list of gradients; their rates and decays are doubled one by one."""
    tensors = [torch.tensor(w, requires_grad=True) for w in start]
    optimizer = CaffeOptimizer([Learnable(w, 2.0**k, 2.0**k) for k, w in enumerate(tensors)], rule, **settings)
    for t, step in enumerate(grads, 1):
        for w, g in zip(tensors, step, strict=True):
            w.grad = torch.tensor(g)
        optimizer.rate = 0.05 / t
        optimizer.step()
    return tensors


def test_adamw_is_torchs() -> None:
    rng = np.random.default_rng(2)
    start = [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]
    grads = [[rng.standard_normal(shape).astype(np.float32) for shape in SHAPES] for _ in range(6)]
    theirs = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in start]
    groups = [{"params": [w], "weight_decay": 0.1 * 2.0**k} for k, w in enumerate(theirs)]
    oracle = torch.optim.AdamW(groups, betas=(0.8, 0.98), eps=1e-3, foreach=False)
    for t, step in enumerate(grads, 1):
        for k, (w, g) in enumerate(zip(theirs, step, strict=True)):
            w.grad = torch.tensor(g, dtype=torch.float64)
            oracle.param_groups[k]["lr"] = 0.05 / t * 2.0**k
        oracle.step()
    ours = updated(AdamW(0.8, 0.98, 1e-3), start, grads, weight_decay=0.1)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found.detach(), expected.detach(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("gradient", [3.0, 0.0])
def test_a_limit_of_0_makes_every_gradient_0(gradient: float) -> None:
    """Caffe's ClipGradients is off below 0 alone; the weight decay comes after it."""
    (found,) = updated(
        SGD(0.0), [np.ones(2, np.float32)], [[np.full(2, gradient, np.float32)]], clip=0.0, weight_decay=2.0
    )
    assert torch.equal(found, torch.full((2,), 1 - np.float32(0.05) * 2))


def test_clipping_by_value_is_torchs() -> None:
    rng = np.random.default_rng(3)
    start = [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]
    grads = [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]
    theirs = [torch.tensor(w, requires_grad=True) for w in start]
    for w, g in zip(theirs, grads, strict=True):
        w.grad = torch.tensor(g) / 2
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    ours = updated(SGD(0.0), start, [grads], clip_value=0.3, iter_size=2)
    for k, (found, w, before) in enumerate(zip(ours, theirs, start, strict=True)):
        np.testing.assert_allclose(found.detach(), before - 0.05 * 2.0**k * w.grad.numpy(), rtol=1e-5, atol=1e-6)
