"""Which parameters a node has: its own, or another's that it shares by name (Caffe's net.cpp, AppendParam)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from netdef.diagnostics import Label, error
from netdef.graph.draft import Draft, Written
from netdef.ir import Node, Param, ParamSpec, Shape, merge
from netdef.layers import registry
from netdef.schema import netdef_pb2 as pb

_MULTIPLIERS = ("lr_mult", "decay_mult")


@dataclass(frozen=True, slots=True)
class _Owner:
    param: Param
    written: Written
    index: int
    states: frozenset[str]


@dataclass(slots=True)
class Sharing:
    """Gives out parameters while a walk goes over the nodes; remembers the named ones."""

    draft: Draft
    owners: dict[str, _Owner] = field(default_factory=dict)

    def params(self, written: Written, node: Node, bottoms: tuple[Shape, ...]) -> tuple[Param, ...]:
        """The node's parameters, with the multipliers that its `param` fields state."""
        specs = node.layer.params(bottoms)
        stated = written.message.param
        if len(stated) > len(specs) and node.type in registry():
            message = f'{node.type} "{node.id}" has {len(specs)} parameters, but {len(stated)} `param` fields'
            span = written.where.name("param", len(specs))
            self.draft.found.append(error("ND0308", message, span=span, help="remove the surplus `param`"))
        return tuple(self._param(written, node, index, spec) for index, spec in enumerate(specs))

    def settled(self, node: Node) -> Node:
        """The node after the walk: what a later layer stated of a parameter is true of it from its owner on."""
        final = {owner.param.id: owner.param for owner in self.owners.values()}
        return replace(node, params=tuple(final.get(param.id, param) for param in node.params))

    def _param(self, written: Written, node: Node, index: int, spec: ParamSpec) -> Param:
        given = written.message.param[index] if index < len(written.message.param) else pb.ParamSpec()
        if why := spec.filler.misfit(spec.shape):
            message = f'the {spec.name} of {node.type} "{node.id}": {why}'
            self.draft.found.append(
                error("ND0426", message, span=node.places.layer, help="Deconvolution has such weights")
            )
        lr_mult = 0.0 if spec.statistic else given.lr_mult
        param = Param(f"{node.id}.{spec.name}", spec, lr_mult, given.decay_mult, given.name)
        if given.name in self.owners:
            return self._shared(written, index, param, given)
        if given.name:
            states = frozenset(name for name in _MULTIPLIERS if given.HasField(name))
            self.owners[given.name] = _Owner(param, written, index, states)
        return param

    def _shared(self, written: Written, index: int, param: Param, given: Any) -> Param:
        """The owner's parameter; shapes must agree, and multipliers where both state them.

        A multiplier that only one of the layers states holds for the parameter (Caffe: has_params_lr_).
        """
        owner = self.owners[param.shared_name]
        self._check_shapes(written, index, param, owner, given)
        for name in _MULTIPLIERS:
            if given.HasField(name) and name not in owner.states:
                stated = replace(owner.param, **{name: getattr(given, name)})
                owner = replace(owner, param=stated, states=owner.states | {name})
            elif given.HasField(name) and getattr(given, name) != getattr(owner.param, name):
                self._reject_multiplier(written, index, owner, name)
        self.owners[param.shared_name] = owner
        return owner.param

    def _check_shapes(self, written: Written, index: int, param: Param, owner: _Owner, given: Any) -> None:
        mine, theirs = param.spec.shape, owner.param.spec.shape
        if given.share_mode == pb.ParamSpec.PERMISSIVE:
            counts = mine.count(), theirs.count()
            agrees = None in counts or counts[0] == counts[1]
        else:
            agrees = merge(mine, theirs) is not None
        if not agrees:
            message = f'parameter "{param.shared_name}" is {mine} here and {theirs} in its owner, "{owner.written.id}"'
            self._reject_shared(
                written,
                index,
                owner,
                "ND0307",
                message,
                "`share_mode: PERMISSIVE` asks for equal counts alone",
            )

    def _reject_multiplier(self, written: Written, index: int, owner: _Owner, name: str) -> None:
        message = f'`{name}` of the shared parameter "{owner.param.shared_name}" differs from its owner\'s'
        self._reject_shared(written, index, owner, "ND0314", message, f"state `{name}` once, or the same in both")

    def _reject_shared(self, written: Written, index: int, owner: _Owner, code: str, message: str, help: str) -> None:
        place = owner.written.where.name("param", owner.index)
        labels = (Label(place, "the owner"),) if place else ()
        span = written.where.name("param", index)
        self.draft.found.append(error(code, message, span=span, labels=labels, help=help))
