"""Which parts of netdef.nn's source must a file contain to run without netdef?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from inspect import getsource

ROOT = "netdef.nn"

_REMARK = re.compile(r"\s+# (type: ignore|noqa).*$", re.MULTILINE)
"""What only netdef's own checkers read."""


class Rooted(Exception):
    """A function needs more of netdef than `netdef.nn`, so that it cannot stand alone."""


@dataclass(frozen=True, slots=True)
class Import:
    """``from module import name``, or ``import module as name`` where `whole`."""

    module: str
    name: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Library:
    """Definitions in an order in which Python takes them, and what they import from elsewhere."""

    names: frozenset[str]
    definitions: tuple[str, ...]
    imports: frozenset[Import]


@dataclass(frozen=True, slots=True)
class _File:
    source: tuple[str, ...]
    definitions: dict[str, ast.stmt]
    imports: dict[str, Import]


@dataclass(slots=True)
class _Gathering:
    """The definitions needed so far, by file, a file after those that it imports from."""

    needed: dict[str, set[str]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    imports: set[Import] = field(default_factory=set)

    def need(self, module: str, name: str) -> None:
        if name in self.needed.setdefault(module, set()):
            return
        self.needed[module].add(name)
        file = _file(module)
        for used in _used(file.definitions[name]):
            if used in file.definitions:
                self.need(module, used)
            elif used in file.imports:
                self._import(file.imports[used])
        if module not in self.order:
            self.order.append(module)

    def _import(self, what: Import) -> None:
        if what.module.startswith(f"{ROOT}."):
            self.need(what.module, what.name)
        elif what.module.split(".")[0] in ("netdef", "google"):
            raise Rooted(what.module)
        else:
            self.imports.add(what)


def library(names: Iterable[str]) -> Library:
    """The source of these names of netdef.nn, with everything that they use.

    Raises:
        Rooted: one of them reaches into the rest of netdef.
    """
    gathering = _Gathering()
    for name in names:
        gathering.need(getattr(import_module(ROOT), name).__module__, name)
    found = [text for module in gathering.order for text in _texts(module, gathering.needed[module])]
    taken = frozenset(name for names in gathering.needed.values() for name in names)
    return Library(taken, tuple(found), frozenset(gathering.imports))


def _texts(module: str, names: set[str]) -> Iterator[str]:
    file = _file(module)
    for node in sorted((file.definitions[name] for name in names), key=lambda node: node.lineno):
        decorators = getattr(node, "decorator_list", [])
        start = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        yield _REMARK.sub("", "\n".join(file.source[start - 1 : node.end_lineno]))


@cache
def _file(module: str) -> _File:
    source = getsource(import_module(module))
    definitions: dict[str, ast.stmt] = {}
    imports: dict[str, Import] = {}
    for node in ast.parse(source).body:
        definitions.update((name, node) for name in _defined(node))
        imports.update(_imported(node))
    return _File(tuple(source.splitlines()), definitions, imports)


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _imported(node: ast.stmt) -> Iterator[tuple[str, Import]]:
    if isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name, Import(alias.name, alias.asname or "", True)) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
        for alias in node.names:
            found = Import(str(node.module), alias.name)
            functional = found == Import("torch.nn", "functional")
            yield alias.asname or alias.name, Import("torch.nn.functional", "F", True) if functional else found


def _used(node: ast.stmt) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
