"""How does an old solver read in today's schema?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from netdef.diagnostics import Diagnostic, Label, error
from netdef.schema import netdef_pb2 as pb
from netdef.schema.rules import names_by_number
from netdef.schema.scalars import integer
from netdef.schema.upgrade import tree
from netdef.schema.upgrade.net import upgrade_fields
from netdef.schema.upgrade.outcome import Upgraded
from netdef.text.cst import Document, Field, Message, Scalar, TokenKind

# Caffe's UpgradeSolverType.
_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}
_NETS = ("net_param", "train_net_param", "test_net_param")


def upgrade_solver(document: Document) -> Upgraded:
    """The solver with `solver_type: ADAM` as `type: "Adam"`, and the nets written out in it upgraded."""
    found: list[Diagnostic] = []
    both = _both(document, found)
    fields = tuple(_field(field, both, found) for field in document.fields)
    return Upgraded(replace(document, fields=fields), tuple(found))


def _field(field: Field, both: bool, found: list[Diagnostic]) -> Field:
    value = field.value
    if field.key == "solver_type" and isinstance(value, Scalar) and not both:
        return _type(field, value)
    if field.key in _NETS and isinstance(value, Message) and any(f.key == "layers" for f in value.fields):
        return tree.with_value(field, replace(value, fields=upgrade_fields(value.fields, found)))
    return field


def _type(field: Field, value: Scalar) -> Field:
    """An unknown name stays as it is, for the binder to say so."""
    old = tree.text(value)
    if value.tokens[0].kind is TokenKind.INTEGER:
        types: Any = pb.SolverParameter.DESCRIPTOR.enum_types_by_name["SolverType"]
        old = names_by_number(types).get(integer(old), old)
    if old not in _TYPES or value.tokens[0].kind is TokenKind.STRING:
        return field
    return tree.with_token(tree.renamed(field, "type"), value, TokenKind.STRING, f'"{_TYPES[old]}"')


def _both(document: Document, found: list[Diagnostic]) -> bool:
    """Whether the update rule is given in both ways, which Caffe refuses."""
    old = next((f for f in document.fields if f.key == "solver_type"), None)
    new = next((f for f in document.fields if f.key == "type"), None)
    if old and new:
        found.append(
            error(
                "ND0224",
                "`solver_type` and `type` cannot both be given",
                span=old.name_span,
                label="the old way to say it",
                labels=(Label(new.name_span, "today's way"),),
                help="keep `type`",
            )
        )
    return bool(old and new)
