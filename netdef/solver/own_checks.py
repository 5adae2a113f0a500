"""What can be wrong with the solver fields that are netdef's own?"""

from __future__ import annotations

from math import isfinite
from typing import Any

from netdef.layers.block import Block

_WITH_FLOOR = ("linear", "cosine", "plateau")


def check_own(block: Block, type: str) -> None:
    """Find everything wrong with netdef's own fields, and between them and Caffe's."""
    for subject in (_rates, _restarts, _warmup, _clip, _ema, _param_rules):
        subject(block)
    _decay(block, type)
    for name in ("plateau", "early_stop"):
        if block.has(name):
            _watch(block, name)
    if block.has("plateau") and block.message.lr_policy != "plateau":
        help = 'write `lr_policy: "plateau"`, or remove it'
        block.warn("ND0714", '`plateau` belongs to the policy "plateau": it has no effect', "plateau", help=help)


def check_finite(block: Block) -> None:
    """Find numbers that are none, or infinite; other checks pass over them."""
    for field, value in block.message.ListFields():
        if isinstance(value, float) and not isfinite(value):
            block.reject("ND0708", f"`{field.name}` must be a finite number, found {value:.6g}", field.name)


def _rates(block: Block) -> None:
    m = block.message
    for name in ("min_lr", "warmup_start_lr"):
        _at_least(block, name, 0)
    if m.min_lr > m.base_lr >= 0 and m.lr_policy in _WITH_FLOOR:
        block.reject("ND0708", f"`min_lr` must be at most base_lr ({m.base_lr:.6g}), found {m.min_lr:.6g}", "min_lr")
    if block.has("min_lr") and m.lr_policy not in _WITH_FLOOR:
        block.warn("ND0714", f"`min_lr` belongs to {', '.join(_WITH_FLOOR)}: it has no effect", "min_lr")
    if m.lr_policy == "plateau" and block.has("gamma") and not 0 < m.gamma < 1:
        message = f'`gamma` must be above 0 and below 1 for "plateau", found {m.gamma:.6g}'
        block.reject("ND0708", message, "gamma")


def _restarts(block: Block) -> None:
    m = block.message
    _at_least(block, "restart_iter", 0)
    _at_least(block, "restart_mult", 1)
    if m.restart_iter and m.lr_policy != "cosine":
        block.warn("ND0714", '`restart_iter` belongs to the policy "cosine": it has no effect', "restart_iter")
    if block.has("restart_mult") and not m.restart_iter:
        message = "`restart_mult` without `restart_iter`: there are no restarts"
        block.warn("ND0714", message, "restart_mult", help="add `restart_iter: …`, the first descent's length")


def _warmup(block: Block) -> None:
    m = block.message
    _at_least(block, "warmup_iter", 0)
    if block.has("warmup_start_lr") and not m.warmup_iter:
        message = "`warmup_start_lr` without `warmup_iter`: there is no warm-up"
        block.warn("ND0714", message, "warmup_start_lr", help="add `warmup_iter: 500`, for example")
    if 0 < m.max_iter <= m.warmup_iter:
        message = f"the warm-up takes {m.warmup_iter} iterations, the training {m.max_iter}: it never ends"
        block.warn("ND0714", message, "warmup_iter")


def _clip(block: Block) -> None:
    m = block.message
    if block.has("clip_value") and m.clip_value == 0:
        help = "remove it, or give a positive limit"
        block.warn("ND0708", "`clip_value: 0` does not clip", "clip_value", help=help)
    if m.clip_value > 0 and m.clip_gradients > 0:
        message = "`clip_gradients` (by norm) and `clip_value` (by value) exclude each other"
        block.reject("ND0714", message, "clip_value", help="remove one of them")


def _ema(block: Block) -> None:
    if block.message.ema_decay < 0 or block.message.ema_decay >= 1:
        message = f"`ema_decay` must be at least 0 and below 1, found {block.message.ema_decay:.6g}"
        block.reject("ND0708", message, "ema_decay", help="0.999 is usual: an average over about 1000 updates")


def _decay(block: Block, type: str) -> None:
    if type == "AdamW" and block.message.regularization_type == "L1":
        message = "AdamW's decay is proportional to the weight: it has no L1"
        block.reject("ND0714", message, "regularization_type", help='remove it, or use type: "Adam"')


def _param_rules(block: Block) -> None:
    for index, rule in enumerate(block.message.param_rule):
        inner = block.sub("param_rule", index)
        check_finite(inner)
        if not rule.layer:
            help = 'add `layer: "conv*"`, for example'
            inner.reject("ND0715", "the `param_rule` names no layers", help=help)
        for name in ("lr_mult", "decay_mult"):
            _at_least(inner, name, 0)


def _watch(block: Block, name: str) -> None:
    inner, m = block.sub(name), block.message
    check_finite(inner)
    if not inner.message.output:
        inner.reject(
            "ND0716", f"`{name}` names no output of the test net", help='add `output: "accuracy"`, for example'
        )
    if not m.test_iter or not m.test_interval:
        help = "add `test_iter` and `test_interval`"
        block.reject("ND0716", f"`{name}` needs tests, and nothing is tested", name, help=help)
    elif not 0 <= inner.message.net < len(m.test_iter):
        message = f"there is no test net {inner.message.net}: they are numbered from 0 to {len(m.test_iter) - 1}"
        inner.reject("ND0716", message, "net")
    elif m.test_iter[inner.message.net] == 0:
        help = "give that net a `test_iter` above 0"
        block.reject("ND0716", f"`{name}` needs tests, and `test_iter: 0` makes none", name, help=help)
    _at_least(inner, "patience", 1)
    _at_least(inner, "min_change", 0)


def _at_least(block: Block, name: str, least: int) -> None:
    value: Any = getattr(block.message, name)
    if value < least:
        block.reject("ND0708", f"`{name}` must be at least {least}, found {value:.6g}", name)
