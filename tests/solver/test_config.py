"""Is a solver file read as Caffe reads it, and is every wrong combination told with its place?"""

from __future__ import annotations

from pathlib import Path

import pytest

from netdef.diagnostics import Diagnostic, Source
from netdef.diagnostics.codes import pages
from netdef.schema import netdef_pb2 as pb
from netdef.schema import read_message
from netdef.solver.config import SolverConfig

GOOD = 'net: "n" base_lr: 0.1 lr_policy: "fixed" max_iter: 9 '
PLAIN = 'net: "n" max_iter: 9 '
TESTED = "test_iter: 5 test_interval: 2 "
PLATEAU = PLAIN + 'base_lr: 1 lr_policy: "plateau" ' + TESTED
CORPUS = Path(__file__).parents[2].parent / "shared" / "corpus"


def decode(text: str) -> tuple[SolverConfig | None, list[Diagnostic]]:
    bound = read_message(Source("s.prototxt", text), pb.SolverParameter)
    found = list(bound.diagnostics)
    return SolverConfig.decode(bound.message, bound.where, found, path="dir/s.prototxt"), found


WRONG = {
    "type": (GOOD + 'type: "Adem"', "ND0701", '"Adem"', 'did you mean "Adam"'),
    "type_case": (GOOD + 'type: "sgd"', "ND0701", '"sgd"', 'did you mean "SGD"'),
    "policy": (PLAIN + 'base_lr: 1 lr_policy: "stpe"', "ND0703", '"stpe"', 'did you mean "step"'),
    "policy_far": (PLAIN + 'base_lr: 1 lr_policy: "qqqqqq"', "ND0703", '"qqqqqq"', "fixed, step"),
    "no_policy": (PLAIN + "base_lr: 1", "ND0704", "", "lr_policy"),
    "no_base_lr": (PLAIN + 'lr_policy: "fixed"', "ND0704", "", "base_lr"),
    "step_gamma": (PLAIN + 'base_lr: 1 lr_policy: "step" stepsize: 5', "ND0704", '"step"', "gamma"),
    "step_size": (PLAIN + 'base_lr: 1 lr_policy: "step" gamma: 1', "ND0704", '"step"', "stepsize"),
    "exp_gamma": (PLAIN + 'base_lr: 1 lr_policy: "exp"', "ND0704", '"exp"', "gamma"),
    "inv_power": (PLAIN + 'base_lr: 1 lr_policy: "inv" gamma: 1', "ND0704", '"inv"', "power"),
    "poly_power": (PLAIN + 'base_lr: 1 lr_policy: "poly"', "ND0704", '"poly"', "power"),
    "poly_max": ('net: "n" base_lr: 1 lr_policy: "poly" power: 1', "ND0704", '"poly"', "max_iter"),
    "no_stepvalue": (PLAIN + 'base_lr: 1 lr_policy: "multistep" gamma: 1', "ND0704", '"multistep"', "stepvalue"),
    "stepsize_0": (PLAIN + 'base_lr: 1 lr_policy: "step" gamma: 1 stepsize: 0', "ND0708", "0", "at least 1"),
    "falling": (GOOD + "stepvalue: 5 stepvalue: 5 stepvalue: 8", "ND0705", "5", "5 comes after 5"),
    "no_net": ('base_lr: 1 lr_policy: "fixed" max_iter: 1', "ND0706", "", "names no net"),
    "two_nets": (GOOD + 'train_net: "m"', "ND0706", '"m"', "two nets"),
    "test_without_net": (
        'train_net: "n" base_lr: 1 lr_policy: "fixed" max_iter: 1 test_iter: 5 test_interval: 2',
        "ND0707",
        "5",
        "no test net",
    ),
    "fewer_test_iters": (
        GOOD + 'test_net: "a" test_net: "b" test_iter: 5 test_interval: 2',
        "ND0707",
        "5",
        "1 `test_iter`",
    ),
    "more_test_iters": (
        'train_net: "n" test_net: "a" base_lr: 1 lr_policy: "fixed" max_iter: 1 test_iter: [5, 6] test_interval: 2',
        "ND0707",
        "6",
        "2 `test_iter` for 1 test net",
    ),
    "no_test_iter": (GOOD + 'test_net: "a" test_interval: 2', "ND0707", '"a"', "0 `test_iter`"),
    "no_interval": (GOOD + "test_iter: 5", "ND0707", "5", "`test_interval` is not set"),
    "test_states": (
        GOOD + "test_iter: 5 test_interval: 1 test_state {} test_state {}",
        "ND0707",
        "{}",
        "2 `test_state`",
    ),
    "negative_stepvalue": (GOOD + "stepvalue: -5 stepvalue: 5", "ND0708", "-5", "at least 0"),
    "infinite_lr": ('net: "n" base_lr: inf lr_policy: "fixed" max_iter: 1', "ND0708", "inf", "finite"),
    "too_large_lr": ('net: "n" base_lr: 1e39 lr_policy: "fixed" max_iter: 1', "ND0708", "1e39", "finite"),
    "no_number": (GOOD + "momentum: nan", "ND0708", "nan", "finite"),
    "no_clip": (GOOD + "clip_gradients: nan", "ND0708", "nan", "finite"),
    "no_number_inside": (GOOD + 'param_rule { layer: "a" lr_mult: nan }', "ND0708", "nan", "finite"),
    "negative_lr": ('net: "n" base_lr: -1 lr_policy: "fixed" max_iter: 1', "ND0708", "-1", "at least 0"),
    "momentum_1": (GOOD + "momentum: 1", "ND0708", "1", "below 1"),
    "momentum2_1": (GOOD + 'type: "Adam" momentum2: 1.5', "ND0708", "1.5", "below 1"),
    "rms_decay_1": (GOOD + 'type: "RMSProp" rms_decay: 1', "ND0708", "1", "below 1"),
    "delta": (GOOD + 'type: "Adam" delta: -1e-8', "ND0708", "-1e-8", "at least 0"),
    "average_loss": (GOOD + "average_loss: 0", "ND0708", "0", "at least 1"),
    "iter_size": (GOOD + "iter_size: 0", "ND0708", "0", "at least 1"),
    "adagrad_momentum": (GOOD + 'type: "AdaGrad" momentum: 0.9', "ND0709", "0.9", "no momentum"),
    "rmsprop_momentum": (GOOD + "solver_type: RMSPROP momentum: 0.9", "ND0709", "0.9", "no momentum"),
    "plateau_gamma": (PLATEAU + 'plateau { output: "loss" }', "ND0704", '"plateau"', "gamma"),
    "plateau_without": (PLATEAU + "gamma: 0.1", "ND0704", '"plateau"', "`plateau`"),
    "plateau_rises": (PLATEAU + 'gamma: 1 plateau { output: "loss" }', "ND0708", "1", "below 1"),
    "no_output": (GOOD + TESTED + "early_stop {}", "ND0716", "{}", "names no output"),
    "untested_stop": (GOOD + 'early_stop { output: "a" }', "ND0716", "{}", "nothing is tested"),
    "no_such_test_net": (GOOD + TESTED + 'early_stop { output: "a" net: 1 }', "ND0716", "1", "from 0 to 0"),
    "patience_0": (GOOD + TESTED + 'early_stop { output: "a" patience: 0 }', "ND0708", "0", "at least 1"),
    "min_change": (GOOD + TESTED + 'early_stop { output: "a" min_change: -1 }', "ND0708", "-1", "at least 0"),
    "linear_max": ('net: "n" base_lr: 1 lr_policy: "linear"', "ND0704", '"linear"', "max_iter"),
    "cosine_max": ('net: "n" base_lr: 1 lr_policy: "cosine"', "ND0704", '"cosine"', "max_iter"),
    "high_floor": (PLAIN + 'base_lr: 1 lr_policy: "cosine" min_lr: 2', "ND0708", "2", "at most base_lr (1)"),
    "restart_mult_0": (PLAIN + 'base_lr: 1 lr_policy: "cosine" restart_iter: 5 restart_mult: 0', "ND0708", "0", "1"),
    "negative_warmup": (GOOD + "warmup_iter: -1", "ND0708", "-1", "at least 0"),
    "clip_twice": (GOOD + "clip_gradients: 1 clip_value: 2", "ND0714", "2", "exclude each other"),
    "ema_1": (GOOD + "ema_decay: 1", "ND0708", "1", "below 1"),
    "adamw_l1": (GOOD + 'type: "AdamW" regularization_type: "L1"', "ND0714", '"L1"', "no L1"),
    "plateau_of_what": (PLAIN + 'base_lr: 1 lr_policy: "plateau" gamma: 0.5', "ND0704", '"plateau"', "`plateau`"),
    "never_tested": (
        GOOD + 'test_interval: 2 test_iter: 3 test_iter: 0 early_stop { output: "a" net: 1 }',
        "ND0716",
        '{ output: "a" net: 1 }',
        "`test_iter: 0` makes none",
    ),
    "nameless_rule": (GOOD + "param_rule { lr_mult: 0 }", "ND0715", "{}", "names no layers"),
    "negative_rule": (GOOD + 'param_rule { layer: "a" lr_mult: -1 }', "ND0708", "-1", "at least 0"),
    "regularization": (GOOD + 'regularization_type: "L3"', "ND0710", '"L3"', "L3"),
}


@pytest.mark.parametrize(("text", "code", "at", "says"), WRONG.values(), ids=WRONG.keys())
def test_wrong(text: str, code: str, at: str, says: str) -> None:
    config, found = decode(text)
    assert config is None
    (fault,) = [d for d in found if d.severity.value == "error"]
    assert fault.code == code
    assert fault.code in pages()
    assert fault.span is not None
    assert fault.span.text.strip() == at or at == "{}"
    assert says in " ".join((fault.message, *fault.help))


DUBIOUS = {
    "rms_decay": (GOOD + "rms_decay: 0.5", "ND0709"),
    "momentum2": (GOOD + "momentum2: 0.5", "ND0709"),
    "no_max_iter": ('net: "n" base_lr: 1 lr_policy: "fixed"', "ND0704"),
    "interval_alone": (GOOD + "test_interval: 5", "ND0707"),
    "clip_0": (GOOD + "clip_gradients: 0", "ND0708"),
    "test_iter_0": (GOOD + "test_iter: 0 test_interval: 5", "ND0708"),
    "debug_info": (GOOD + "debug_info: true", "ND0714"),
    "min_lr": (GOOD + "min_lr: 0.01", "ND0714"),
    "restart_iter": (GOOD + "restart_iter: 5", "ND0714"),
    "restart_mult": (PLAIN + 'base_lr: 1 lr_policy: "cosine" restart_mult: 2', "ND0714"),
    "warmup_start_lr": (GOOD + "warmup_start_lr: 0.01", "ND0714"),
    "endless_warmup": (GOOD + "warmup_iter: 9", "ND0714"),
    "plateau_with_fixed": (GOOD + TESTED + 'plateau { output: "loss" }', "ND0714"),
    "clip_value_0": (GOOD + "clip_value: 0", "ND0708"),
}


@pytest.mark.parametrize(("text", "code"), DUBIOUS.values(), ids=DUBIOUS.keys())
def test_dubious(text: str, code: str) -> None:
    config, found = decode(text)
    assert config is not None
    assert [(d.code, d.severity.value) for d in found] == [(code, "warning")]


def test_all_faults_in_one_run() -> None:
    _, found = decode('type: "X" lr_policy: "Y" base_lr: -1 average_loss: 0')
    assert {d.code for d in found} == {"ND0701", "ND0703", "ND0704", "ND0706", "ND0708"}


def test_defaults_are_caffes() -> None:
    c, found = decode(GOOD)
    assert c is not None
    assert not found
    assert (c.type, c.policy.kind, c.iter_size, c.average_loss) == ("SGD", "fixed", 1, 1)
    assert (c.momentum, c.weight_decay, c.regularization, c.clip_gradients) == (0, 0, "L2", -1)
    assert c.delta == pytest.approx(1e-8)
    assert (c.test_initialization, c.test_compute_loss, c.snapshot_after_train) == (True, False, True)
    assert (c.snapshot_prefix, c.snapshot_format, c.seed, c.gpu) == ("dir/s", "BINARYPROTO", None, 0)


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("", "dir/s"),
        ('snapshot_prefix: "out/net"', "out/net"),
        ('snapshot_prefix: "here"', "here/s"),
        ('snapshot_prefix: "later/"', "later/s"),
    ],
    ids=["none", "plain", "a folder", "a folder to be made"],
)
def test_snapshot_prefix(written: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder gets the solver's name in it (Caffe: UpgradeSnapshotPrefixProperty)."""
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    config, _ = decode(GOOD + written)
    assert config is not None
    assert config.snapshot_prefix == prefix


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SGD", "SGD"),
        ("NESTEROV", "Nesterov"),
        ("ADAGRAD", "AdaGrad"),
        ("RMSPROP", "RMSProp"),
        ("ADADELTA", "AdaDelta"),
        ("ADAM", "Adam"),
    ],
)
def test_old_types(old: str, new: str) -> None:
    config, found = decode(GOOD + f"solver_type: {old}")
    assert config is not None
    assert not found
    assert config.type == new


def test_test_nets_in_caffes_order() -> None:
    config, _ = decode(
        GOOD + 'test_net: "a" test_net_param { name: "p" } test_iter: 1 test_iter: 2 test_iter: 3 test_interval: 9 '
        'test_state { stage: "x" } test_state { level: 4 } test_state { stage: "y" stage: "z" }'
    )
    assert config is not None
    nets = [(t.path, t.num_batches, t.level, t.stages) for t in config.tests]
    assert nets == [(None, 1, 0, ("x",)), ("a", 2, 4, ()), ("n", 3, 0, ("y", "z"))]
    assert config.tests[0].message.name == "p"
    assert [t.phase for t in config.tests] == ["TEST"] * 3


def test_state_of_the_training_net() -> None:
    config, _ = decode(GOOD + 'train_state { level: 2 stage: "s" }')
    assert config is not None
    assert (config.train.phase, config.train.level, config.train.stages) == ("TRAIN", 2, ("s",))


def test_weights_may_be_a_list_with_commas() -> None:
    config, _ = decode(GOOD + 'weights: "a, b" weights: "c"')
    assert config is not None
    assert [file.path for file in config.weights] == ["a", "b", "c"]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.exists(), reason="no corpus here")
def test_solvers_of_real_users_are_right() -> None:
    for path in sorted(CORPUS.rglob("*solver*.prototxt")):
        bound = read_message(path, pb.SolverParameter)
        found = list(bound.diagnostics)
        if not found:
            SolverConfig.decode(bound.message, bound.where, found)
            assert not [d.message for d in found if d.severity.value == "error"], path


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("ema_decai: 0.9", "ema_decay"),
        ("warmup_iters: 9", "warmup_iter"),
        ('early_stop { outptu: "a" }', "output"),
        ('early_stop { output: "a" mode: MAXX }', "MAX"),
        ('param_rule { layers: "a" }', "layer"),
    ],
    ids=["ema", "warmup", "in_early_stop", "mode", "in_param_rule"],
)
def test_own_fields_misspelt(text: str, near: str) -> None:
    _, found = decode(GOOD + TESTED + text)
    assert near in " ".join(
        (found[0].message, *found[0].help, found[0].fix.edits[0].replacement if found[0].fix else "")
    )
