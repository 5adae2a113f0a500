"""Which layers learn at which share of the rate, by the solver's `param_rule`?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from netdef.diagnostics import Diagnostic, NetdefError, Span, error
from netdef.ir import Graph, Node, Param
from netdef.layers.block import Block
from netdef.schema.suggest import nearest


@dataclass(frozen=True, slots=True)
class ParamRule:
    """Factors on the rate and decay of layers whose name matches a pattern (`*`, `?`, `[ab]`)."""

    pattern: str
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    span: Span | None = field(default=None, compare=False, repr=False)

    @classmethod
    def decode(cls, block: Block) -> tuple[ParamRule, ...]:
        """Every `param_rule` of a solver, in its order."""
        inner = [block.sub("param_rule", index) for index in range(len(block.message.param_rule))]
        return tuple(cls(b.message.layer, b.message.lr_mult, b.message.decay_mult, b.place("layer")) for b in inner)

    def matches(self, name: str) -> bool:
        """Whether a layer of this name is meant."""
        return fnmatchcase(name, self.pattern)


def apply_rules(graph: Graph, rules: Sequence[ParamRule]) -> Graph:
    """The graph with the multipliers of its parameters times the factors of the last rule that matches their layer.

    A shared parameter goes by the name of the layer that owns it.

    Raises:
        NetdefError: ND0715, a rule matches no layer that has parameters.
    """
    if not rules:
        return graph
    found = unused_rules(graph, rules)
    if found:
        raise NetdefError(found)
    owners = {param.id: node.name for node in reversed(graph.nodes) for param in node.params}
    changed = {param.id: _changed(param, owners[param.id], rules) for param in graph.params.values()}
    return replace(graph, nodes=tuple(_having(node, changed) for node in graph.nodes))


def unused_rules(graph: Graph, rules: Sequence[ParamRule]) -> list[Diagnostic]:
    """An error for each rule that matches no layer with parameters."""
    return [fault for rule in rules if (fault := _unused(graph, rule))]


def _having(node: Node, changed: dict[str, Param]) -> Node:
    return replace(node, params=tuple(changed[param.id] for param in node.params))


def _changed(param: Param, layer: str, rules: Sequence[ParamRule]) -> Param:
    rule = next((rule for rule in reversed(rules) if rule.matches(layer)), ParamRule(""))
    return replace(param, lr_mult=param.lr_mult * rule.lr_mult, decay_mult=param.decay_mult * rule.decay_mult)


def _unused(graph: Graph, rule: ParamRule) -> Diagnostic | None:
    names = [node.name for node in graph.nodes if node.params]
    if any(rule.matches(name) for name in names):
        return None
    near = nearest(rule.pattern, names)
    help = f'did you mean "{near}"?' if near else "layers with parameters: " + ", ".join(names[:8])
    message = f'no layer with parameters matches "{rule.pattern}"'
    return error("ND0715", message, span=rule.span, help=help)
