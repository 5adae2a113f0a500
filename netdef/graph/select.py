"""Pass: which layers take part, by phase, level and stages (Caffe's NetState and NetStateRule)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from netdef.diagnostics import Diagnostic, error, warning
from netdef.graph.draft import Draft, Written
from netdef.ir import Phase
from netdef.schema import netdef_pb2 as pb


def select(draft: Draft) -> Draft:
    """Keep the layers whose rules meet the state of the net (Caffe's net.cpp, FilterNet and StateMeetsRule)."""
    state = _state(draft)
    phase = cast(Phase, pb.Phase.Name(state.phase))
    for layer in draft.written:
        if layer.message.include and layer.message.exclude:
            message = f'layer "{layer.message.name}" has both `include` and `exclude`; give one kind of rule'
            draft.found.append(error("ND0313", message, span=layer.where.name("exclude")))
    kept = tuple(layer for layer in draft.written if takes_part(layer.message, state))
    dropped = tuple(layer for layer in draft.written if not takes_part(layer.message, state))
    for layer in kept:
        if layer.message.HasField("phase") and layer.message.phase != state.phase:
            draft.found.append(_own_phase(layer, phase))
    return replace(draft, phase=phase, written=kept, dropped=dropped)


def _own_phase(layer: Written, phase: Phase) -> Diagnostic:
    """Caffe has such a layer work by its own phase; it is hardly ever meant so."""
    own = pb.Phase.Name(layer.message.phase)
    message = (
        f'layer "{layer.message.name}" states `phase: {own}`, but takes part in phase {phase} and works as in {phase}'
    )
    help = f"a layer is chosen for a phase by `include {{ phase: {own} }}`"
    return warning("ND0317", message, span=layer.where.name("phase"), help=help)


def _state(draft: Draft) -> pb.NetState:
    """The state asked for, over the one that the net itself states."""
    options = draft.options
    state = pb.NetState()
    state.CopyFrom(draft.message.state)
    if options.phase is not None:
        state.phase = pb.TRAIN if options.phase == "TRAIN" else pb.TEST
    state.level = options.level or state.level
    state.stage.extend(stage for stage in options.stages if stage not in state.stage)
    return state


def takes_part(layer: Any, state: pb.NetState) -> bool:
    """Whether a layer is in the net: one include that holds is enough, and so is one exclude to drop it."""
    if layer.include:
        return any(meets(state, rule) for rule in layer.include)
    return not any(meets(state, rule) for rule in layer.exclude)


def meets(state: pb.NetState, rule: Any) -> bool:
    """Whether the state fulfils every condition of a NetStateRule."""
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= set(state.stage)
        and not set(rule.not_stage) & set(state.stage)
    )


def states(written: tuple[Written, ...]) -> tuple[tuple[Phase, tuple[str, ...]], ...]:
    """The phases and stages that a file without stated ones is meant for.

    Both phases, unless nothing in the file tells them apart. Where layers are included by stage, a phase is meant
    with each of these stages: without any, such a net mostly lacks its data.
    """
    rules = [rule for layer in written for rule in (*layer.message.include, *layer.message.exclude)]
    phases: tuple[Phase, ...] = ("TRAIN", "TEST") if any(rule.HasField("phase") for rule in rules) else ("TEST",)
    return tuple((phase, stages) for phase in phases for stages in _stages(written, phase))


def _stages(written: tuple[Written, ...], phase: Phase) -> tuple[tuple[str, ...], ...]:
    """The sets of stages that include rules of one phase ask for; the empty set where none asks for any."""
    rules = [rule for layer in written for rule in layer.message.include]
    wanted = [rule for rule in rules if not rule.HasField("phase") or rule.phase == pb.Phase.Value(phase)]
    return tuple(dict.fromkeys(tuple(rule.stage) for rule in wanted if rule.stage)) or ((),)
