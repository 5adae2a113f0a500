"""What can be wrong in a solver file? One small function a subject; each adds all that it finds."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import Any

from netdef.layers.block import Block
from netdef.schema.suggest import nearest
from netdef.solver.own_checks import check_finite, check_own
from netdef.solver.policy import NEEDS, POLICIES

TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "AdamW")
TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


def check(block: Block) -> None:
    """Find everything wrong with a SolverParameter that can be known without its nets."""
    for subject in SUBJECTS:
        subject(block)
    check_own(block, rule_type(block))
    check_speed(block)


def rule_type(block: Block) -> str:
    """The update rule's name, from the new field or the old enum, in Caffe's spelling."""
    if block.has("solver_type") and not block.has("type"):
        old = block.enum("solver_type")
        return next(name for name in TYPES if name.upper() == old)
    return str(block.message.type)


def _type(block: Block) -> None:
    if rule_type(block) not in TYPES:
        name = rule_type(block)
        block.reject("ND0701", f'unknown solver type "{name}"', "type", help=_meant(name, TYPES, "types"))


def _policy(block: Block) -> None:
    m = block.message
    if not block.has("base_lr"):
        block.reject("ND0704", "`base_lr`, the learning rate, is missing", help="add `base_lr: 0.01`, for example")
    if not block.has("lr_policy"):
        block.reject("ND0704", "`lr_policy` is missing", help='add `lr_policy: "fixed"`, for example')
    elif m.lr_policy not in POLICIES:
        help = _meant(m.lr_policy, POLICIES, "policies")
        block.reject("ND0703", f'unknown learning rate policy "{m.lr_policy}"', "lr_policy", help=help)
    for name in NEEDS.get(m.lr_policy, ()):
        if not (m.stepvalue if name == "stepvalue" else block.has(name)):
            block.reject("ND0704", f'the policy "{m.lr_policy}" needs `{name}`', "lr_policy", help=_added(name))
    if not block.has("max_iter") and "max_iter" not in NEEDS.get(m.lr_policy, ()):
        help = "add `max_iter: 10000`, for example"
        block.warn("ND0704", "`max_iter` is missing: no iteration would be trained", help=help)


def _added(name: str) -> str:
    return 'add `plateau { output: "accuracy" }`, for example' if name == "plateau" else f"add `{name}: …`"


def _stepvalues(block: Block) -> None:
    values = list(block.message.stepvalue)
    if values and values[0] < 0:
        block.reject("ND0708", f"`stepvalue` must be at least 0, found {values[0]}", "stepvalue")
    for index, (before, value) in enumerate(pairwise(values), 1):
        if value <= before:
            message = f"stepvalue {value} comes after {before}: they must rise"
            block.reject("ND0705", message, "stepvalue", index)


def _numbers(block: Block) -> None:
    """Ranges that hold whatever the type."""
    _range(block, "base_lr", "at least 0", block.message.base_lr >= 0)
    _range(block, "gamma", "at least 0", block.message.gamma >= 0)
    _range(block, "weight_decay", "at least 0", block.message.weight_decay >= 0)
    for name in ("max_iter", "test_interval", "display", "snapshot", "snapshot_keep", "device_id"):
        _range(block, name, "at least 0", getattr(block.message, name) >= 0)
    for name in ("average_loss", "iter_size"):
        _range(block, name, "at least 1", getattr(block.message, name) >= 1)
    if block.message.lr_policy in ("step", "sigmoid") and block.has("stepsize"):
        _range(block, "stepsize", "at least 1", block.message.stepsize >= 1)
    if "max_iter" in NEEDS.get(block.message.lr_policy, ()) and block.has("max_iter"):
        _range(block, "max_iter", "at least 1 for this policy", block.message.max_iter >= 1)
    for index, count in enumerate(block.message.test_iter):
        if count < 0:
            block.reject("ND0708", f"`test_iter` must be at least 0, found {count}", "test_iter", index)
        elif count == 0:
            block.warn("ND0708", "`test_iter: 0`: this net is never tested", "test_iter", index)


def _rule_fields(block: Block) -> None:
    """Ranges of the rule's own numbers, and numbers that belong to another rule."""
    m, type = block.message, rule_type(block)
    for name in ("momentum", "momentum2", "rms_decay"):
        _range(block, name, "at least 0 and below 1", 0 <= getattr(m, name) < 1)
    _range(block, "delta", "at least 0", m.delta >= 0)
    if type in ("AdaGrad", "RMSProp") and m.momentum:
        help = "remove it, or use another type"
        block.reject("ND0709", f'"{type}" has no momentum, found {_short(m.momentum)}', "momentum", help=help)
    for name, owners in (("rms_decay", ("RMSProp",)), ("momentum2", ("Adam", "AdamW"))):
        if block.has(name) and type in TYPES and type not in owners:
            message = f'`{name}` belongs to "{owners[0]}", and the type is "{type}": it has no effect'
            block.warn("ND0709", message, name)


def _decay(block: Block) -> None:
    kind = block.message.regularization_type
    if kind not in ("L1", "L2"):
        help = _meant(kind, ("L1", "L2"), "kinds")
        block.reject("ND0710", f'unknown regularization type "{kind}"', "regularization_type", help=help)
    clip = block.message.clip_gradients
    if block.has("clip_gradients") and clip == 0:
        help = "remove it, or give a positive limit"
        message = "`clip_gradients: 0` makes every gradient 0, as in Caffe: nothing is learned"
        block.warn("ND0708", message, "clip_gradients", help=help)


def _debug_info(block: Block) -> None:
    if block.message.debug_info and not block.message.display:
        help = "add `display: 100`, for example"
        block.warn("ND0714", "`debug_info` without `display` shows nothing", "debug_info", help=help)


def _train_net(block: Block) -> None:
    given = [name for name in TRAIN_FIELDS if block.has(name)]
    if not given:
        block.reject("ND0706", "the solver names no net to train", help='add `net: "train_val.prototxt"`')
    for name in given[1:]:
        message = f"two nets to train: `{given[0]}` and `{name}`"
        block.reject("ND0706", message, name, help="give one; `net` serves training and testing")


def _test_nets(block: Block) -> None:
    m = block.message
    num_own = len(m.test_net) + len(m.test_net_param)
    common = block.has("net") or block.has("net_param")
    if not common and not num_own and m.test_iter:
        help = 'add `test_net: "…"`, or use `net` for both'
        block.reject("ND0707", "`test_iter` is given, but there is no test net", "test_iter", help=help)
    elif len(m.test_iter) < num_own or (not common and len(m.test_iter) > num_own):
        _miscount(block, num_own)
    num_tests = len(m.test_iter)
    if m.test_state and len(m.test_state) != num_tests:
        message = f"{len(m.test_state)} `test_state` for {num_tests} test nets: give none, or one for each"
        block.reject("ND0707", message, "test_state", min(num_tests, len(m.test_state) - 1))
    if num_tests and not m.test_interval:
        help = "add `test_interval: 500`, for example; it counts iterations"
        block.reject("ND0707", "there is a test net, but `test_interval` is not set", "test_iter", help=help)
    if m.test_interval > 0 and not num_tests and not num_own:
        block.warn("ND0707", "`test_interval` without `test_iter`: nothing is tested", "test_interval")


def _miscount(block: Block, num_own: int) -> None:
    m = block.message
    names = "test net" if num_own == 1 else "test nets"
    message = f"{len(m.test_iter)} `test_iter` for {num_own} {names}: each needs one"
    field = "test_iter" if m.test_iter else "test_net" if m.test_net else "test_net_param"
    block.reject("ND0707", message, field, len(m.test_iter) - 1 if m.test_iter else 0)


def _range(block: Block, name: str, wanted: str, holds: bool) -> None:
    value: Any = getattr(block.message, name)
    if not holds and isfinite(value):
        block.reject("ND0708", f"`{name}` must be {wanted}, found {_short(value)}", name)


def _short(value: float) -> str:
    return f"{value:.6g}"


def _meant(word: str, known: Any, plural: str) -> str:
    near = nearest(word, known)
    return f'did you mean "{near}"?' if near else f"known {plural}: " + ", ".join(known)


def check_speed(block: Block) -> None:
    """Ways of computing that are not there, or not together."""
    m = block.message
    if block.enum("parallel") == "FSDP" and m.compile:
        help = "remove one; `activation_checkpoint: true` goes with `parallel: FSDP`"
        block.reject("ND0713", "`parallel: FSDP` and `compile` exclude each other", "compile", help=help)
    if m.cuda_graphs:
        _recorded(block)
    if m.activation_checkpoint and m.compile:
        help = "remove one: a compiled net decides by itself what it computes again"
        block.reject("ND0713", "`activation_checkpoint` and `compile` exclude each other", "compile", help=help)


def _recorded(block: Block) -> None:
    """What `cuda_graphs` does not go with."""
    m = block.message
    if m.activation_checkpoint:
        help = "remove one: a recording keeps its memory in any case"
        block.reject("ND0713", "`activation_checkpoint` and `cuda_graphs` exclude each other", "cuda_graphs", help=help)
    if block.enum("parallel") == "FSDP":
        message = "`parallel: FSDP` and `cuda_graphs` exclude each other"
        block.reject("ND0713", message, "cuda_graphs", help="remove one")
    if block.enum("precision") == "FP16" and not m.compile:
        help = "use `precision: BF16`, or add `compile: true`"
        block.reject("ND0713", "`cuda_graphs` without `compile` has no scaled loss", "cuda_graphs", help=help)


SUBJECTS = (
    _type,
    check_finite,
    _policy,
    _stepvalues,
    _numbers,
    _rule_fields,
    _decay,
    _train_net,
    _test_nets,
    _debug_info,
)
"""Everything that is looked at, in the order in which it is told."""
