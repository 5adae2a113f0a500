"""What does a solver file ask for? Every default resolved, every wrong combination told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from netdef.diagnostics import Diagnostic, Span
from netdef.ir import Phase
from netdef.layers.block import Block
from netdef.schema.where import Where
from netdef.solver.checks import check, rule_type
from netdef.solver.factors import ParamRule
from netdef.solver.policy import Policy
from netdef.solver.watched import Watch

Precision = Literal["AUTO", "FP32", "TF32", "BF16", "FP16"]


@dataclass(frozen=True, slots=True)
class NetChoice:
    """One net of a run: its text, and the state it is built for.

    Attributes:
        path: the file as the solver names it, or None for a net written out in the solver.
        message: the NetParameter written out in the solver, or None.
        where: the places of `message`, or of the field that holds `path`.
        phase, level, stages: Caffe's NetState.
        num_batches: `test_iter` of a test net; 0 for the training net.
        span: where the solver names it.
    """

    path: str | None
    message: Any
    where: Where
    phase: Phase
    level: int = 0
    stages: tuple[str, ...] = ()
    num_batches: int = 0
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file as the solver names it, and where it does."""

    path: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SolverConfig:
    """A SolverParameter decoded; the meaning of each field stands in protos/netdef.proto.

    `type` is the update rule ("SGD", whatever way it was written), `policy` the learning rate, `train` and `tests`
    the nets, `seed` None for a new one each run, `gpu` None for the processor.
    """

    type: str
    policy: Policy
    train: NetChoice
    tests: tuple[NetChoice, ...]
    max_iter: int
    iter_size: int
    test_interval: int
    test_compute_loss: bool
    test_initialization: bool
    display: int
    average_loss: int
    momentum: float
    momentum2: float
    rms_decay: float
    delta: float
    weight_decay: float
    regularization: Literal["L2", "L1"]
    clip_gradients: float
    snapshot: int
    snapshot_prefix: str
    snapshot_diff: bool
    snapshot_format: Literal["HDF5", "BINARYPROTO"]
    snapshot_after_train: bool
    snapshot_keep: int
    gpu: int | None
    seed: int | None
    weights: tuple[NamedFile, ...]
    debug_info: bool
    precision: Precision
    deterministic: bool
    channels_last: bool
    compile: bool
    metrics: str | None
    batch: Literal["GLOBAL", "PER_DEVICE"]
    sync_batch_norm: bool
    parallel: Literal["DDP", "FSDP"]
    activation_checkpoint: bool
    cuda_graphs: bool
    clip_value: float = -1.0
    ema_decay: float = 0.0
    plateau: Watch | None = None
    early_stop: Watch | None = None
    param_rules: tuple[ParamRule, ...] = ()
    path: str | None = None

    @property
    def watches(self) -> dict[str, Watch]:
        """The test outputs that decide something, by the field that names them."""
        both = {"plateau": self.plateau, "early_stop": self.early_stop}
        return {name: watch for name, watch in both.items() if watch is not None}

    @classmethod
    def decode(
        cls, message: Any, where: Where, found: list[Diagnostic], *, path: str | None = None
    ) -> SolverConfig | None:
        """Read a SolverParameter, resolve its defaults, and add everything wrong with it to `found`.

        `path` is the solver file's, which names snapshots where `snapshot_prefix` does not. None comes back where
        an error was found.
        """
        block = Block(message, where, found=found)
        before = len(found)
        check(block)
        if any(d.severity.value == "error" for d in found[before:]):
            return None
        m = message
        return cls(
            type=rule_type(block),
            policy=_policy(m),
            train=_train(block),
            tests=tuple(_tests(block)),
            max_iter=m.max_iter,
            iter_size=m.iter_size,
            test_interval=m.test_interval,
            test_compute_loss=m.test_compute_loss,
            test_initialization=m.test_initialization,
            display=max(m.display, 0),
            average_loss=m.average_loss,
            momentum=m.momentum,
            momentum2=m.momentum2,
            rms_decay=m.rms_decay,
            delta=m.delta,
            weight_decay=m.weight_decay,
            regularization=cast(Literal["L2", "L1"], m.regularization_type),
            clip_gradients=m.clip_gradients,
            snapshot=max(m.snapshot, 0),
            snapshot_prefix=_prefix(m.snapshot_prefix, path),
            snapshot_diff=m.snapshot_diff,
            snapshot_format=cast(Literal["HDF5", "BINARYPROTO"], block.enum("snapshot_format")),
            snapshot_after_train=m.snapshot_after_train,
            snapshot_keep=m.snapshot_keep,
            gpu=m.device_id if block.enum("solver_mode") == "GPU" else None,
            seed=m.random_seed if m.random_seed >= 0 else None,
            weights=tuple(_weights(block)),
            debug_info=m.debug_info,
            precision=cast(Precision, block.enum("precision")),
            deterministic=m.deterministic,
            channels_last=m.channels_last,
            compile=m.compile,
            metrics=m.metrics if block.has("metrics") else None,
            batch=cast(Literal["GLOBAL", "PER_DEVICE"], block.enum("batch")),
            sync_batch_norm=m.sync_batch_norm,
            parallel=cast(Literal["DDP", "FSDP"], block.enum("parallel")),
            activation_checkpoint=m.activation_checkpoint,
            cuda_graphs=m.cuda_graphs,
            clip_value=m.clip_value,
            ema_decay=m.ema_decay,
            plateau=Watch.decode(block, "plateau") if m.lr_policy == "plateau" else None,
            early_stop=Watch.decode(block, "early_stop"),
            param_rules=ParamRule.decode(block),
            path=path,
        )


def _policy(m: Any) -> Policy:
    return Policy(
        m.lr_policy,
        m.base_lr,
        m.gamma,
        m.power,
        m.stepsize,
        tuple(m.stepvalue),
        m.max_iter,
        m.min_lr,
        m.restart_iter,
        m.restart_mult,
        m.warmup_iter,
        m.warmup_start_lr,
    )


def _prefix(written: str, path: str | None) -> str:
    """How the names of snapshots begin: without a prefix as the solver file's, which a folder as prefix is given too.

    Source: Caffe's upgrade_proto.cpp, UpgradeSnapshotPrefixProperty, which knows a folder only if it is there already.
    """
    own = Path(path or "solver").with_suffix("")
    if not written:
        return str(own)
    return str(Path(written) / own.name) if written.endswith("/") or Path(written).is_dir() else written


def _weights(block: Block) -> Iterator[NamedFile]:
    for index, text in enumerate(block.message.weights):
        for part in filter(None, map(str.strip, text.split(","))):
            yield NamedFile(part, block.place("weights", index))


def _train(block: Block) -> NetChoice:
    name = next(name for name in ("train_net", "train_net_param", "net", "net_param") if block.has(name))
    return _choice(block, name, 0, "TRAIN", block.message.train_state)


def _tests(block: Block) -> list[NetChoice]:
    """The test nets in Caffe's order (solver.cpp, InitTestNets): written out, by path, then `net` for the rest."""
    m = block.message
    fields = [("test_net_param", i) for i in range(len(m.test_net_param))]
    fields += [("test_net", i) for i in range(len(m.test_net))]
    common = next((name for name in ("net_param", "net") if block.has(name)), None)
    if common is not None:
        fields += [(common, 0)] * (len(m.test_iter) - len(fields))
    states = list(m.test_state) or [None] * len(fields)
    return [
        _choice(block, name, index, "TEST", state, num_batches)
        for (name, index), state, num_batches in zip(fields, states, m.test_iter, strict=True)
    ]


def _choice(block: Block, name: str, index: int, phase: Phase, state: Any, num_batches: int = 0) -> NetChoice:
    value = getattr(block.message, name)
    if block.message.DESCRIPTOR.fields_by_name[name].is_repeated:
        value = value[index]
    path, message = (value, None) if isinstance(value, str) else (None, value)
    level, stages = (state.level, tuple(state.stage)) if state is not None else (0, ())
    if state is not None and state.HasField("phase"):
        phase = "TRAIN" if state.phase == 0 else "TEST"
    span = block.where.field(name, index)
    return NetChoice(path, message, block.where.sub(name, index), phase, level, stages, num_batches, span)
