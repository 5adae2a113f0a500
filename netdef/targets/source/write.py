"""How does a graph become one readable PyTorch file that needs nothing but torch?"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import PurePath
from sys import stdlib_module_names

from netdef.diagnostics import NetdefError, error
from netdef.ir import Graph, Node, Param, Shape
from netdef.ir.fill import fans
from netdef.layers.record import Call
from netdef.targets.fuse import fuse
from netdef.targets.record import Recording, record, typed
from netdef.targets.source.code import WIDTH, Code, call, flat, lines, row, text
from netdef.targets.source.express import Statement, Writer, constructor
from netdef.targets.source.inline import Import, Library, Rooted, library
from netdef.targets.source.names import attribute, is_plain, local_names, submodule_calls
from netdef.targets.torch.names import module_names

LOADER = "load_weights"
"""The function of netdef.nn that reads the weights, so that it takes no package but torch."""

_BODY = 8
"""Columns that a method's body is indented by."""


def write_source(graph: Graph, *, weights: str = "") -> str:
    """The source of a module that computes what `build_module` does, bit for bit, and has the same state_dict.

    ``Net.forward`` takes the graph's inputs in their order. It returns the output, or a dict where there are several,
    or none; with the loss in front where the graph has one that is no output by itself.

    Args:
        graph: a compiled net; the sizes of its parameters must be known.
        weights: the file with its weights, for the instructions at its head.

    Raises:
        NetdefError: a layer has no rule for torch (ND0902), or needs more than torch (ND0930).
    """
    recording = fuse(record(graph), [blob.id for blob in graph.outputs])
    inlined = _library(graph, recording, (LOADER,) if weights else ())
    draft = _Draft(graph, recording, module_names(graph), local_names(graph, recording, inlined.names))
    body = "\n".join(draft.lines())
    head = f'"""{draft.head(weights)}\n"""\n\nfrom __future__ import annotations'
    constants, definitions = _parted(inlined.definitions)
    preface = "\n\n".join((head, *_imports(body, inlined), *constants))
    loader = [text for text in definitions if text.startswith(f"def {LOADER}(")]
    return "\n\n\n".join((preface, *(text for text in definitions if text not in loader), body, *loader)) + "\n"


@dataclass(frozen=True, slots=True)
class _Draft:
    graph: Graph
    recording: Recording
    modules: dict[str, str]
    names: dict[str, str]

    def lines(self) -> Iterator[str]:
        """The class."""
        yield "class Net(nn.Module):"
        yield f'    """{self.title()}."""'
        made = list(self.modules_made())
        if made:
            yield from ("", "    def __init__(self) -> None:", "        super().__init__()", *made)
        yield from ("", *self.signature())
        yield from self.body()

    def title(self) -> str:
        """The net's name."""
        return _quotable(self.graph.name or "A net without a name")

    def head(self, weights: str) -> str:
        """The docstring of the file."""
        path = PurePath(self.graph.path).name if self.graph.path else ""
        source = f', from {_quotable(path)}; "line" is a line of that file' if path else ""
        mode = "" if self.graph.phase == "TRAIN" else ".eval()"
        load = [f"    net = Net(){mode}"]
        load += [f'    net.load_state_dict({LOADER}("{_quotable(weights)}"))'] if weights else []
        inputs = ", ".join(f"torch.zeros({_sizes(blob.shape)})" for blob, _ in self.recording.inputs)
        result = self.result()
        take = f"{flat(result)} = " if isinstance(result, str) else "tops = "
        return "\n".join((f"{self.title()} in PyTorch{source}.", "", "Use:", *load, f"    {take}net({inputs})"))

    def modules_made(self) -> Iterator[str]:
        """A line for each submodule, in the order of the layers; then what they share, and what is frozen."""
        constructed = submodule_calls(self.recording.calls)
        owners: dict[str, str] = {}
        notes: list[str] = []
        for node in self.graph.nodes:
            if node.id not in constructed and not node.params:
                continue
            name = self.modules[node.id]
            one = constructed.get(node.id)
            code = constructor(one) if one else _parameters(node)
            yield from _assigned(name, code)
            for param, attr in zip(node.params, _attributes(node), strict=True):
                place = _member(attribute(name), attr, one)
                if param.id in owners:
                    yield f"{' ' * _BODY}{place} = {owners[param.id]}  # shared"
                elif not (param.lr_mult or param.spec.statistic):
                    notes.append(f"{' ' * _BODY}{place}.requires_grad_(False)")
                owners.setdefault(param.id, place)
        yield from notes

    def signature(self) -> Iterator[str]:
        """The first line of `forward`, and what it takes and returns."""
        inputs = [(self.names[value.name], blob) for blob, value in self.recording.inputs]
        kind = "Tensor" if isinstance(self.result(), str) else "dict[str, Tensor]"
        kind = f"tuple[Tensor, {kind}]" if self.loss() else kind
        yield from lines(
            call("def forward", ("self", *(f"{name}: Tensor" for name, _ in inputs))), 4, after=f" -> {kind}:"
        )
        taken, given = (
            ", ".join(f"{_quotable(blob.name)} ({blob.shape})" for blob in blobs)
            for blobs in ([blob for _, blob in inputs], self.graph.outputs)
        )
        summary = f"From {taken} to {given}." if taken else f"Give {given}."
        if len(summary) + _BODY + 6 <= WIDTH:
            yield f'{" " * _BODY}"""{summary}"""'

    def result(self) -> Code:
        """The output, or a dict of them by name."""
        outputs = [(blob.name, self.names[self.recording.values[blob.id].name]) for blob in self.graph.outputs]
        if len(outputs) == 1:
            return outputs[0][1]
        return row((f"{text(name)}: {value}" for name, value in outputs), "{}")

    def loss(self) -> str:
        """The variable of the loss where it goes beside the outputs; empty where it is the output, or there is none."""
        loss = self.recording.loss
        outputs = [self.recording.values[blob.id] for blob in self.graph.outputs]
        return self.names[loss.name] if loss and outputs != [loss] else ""

    def body(self) -> Iterator[str]:
        """The statements of `forward`, the first of each layer with its line in the prototxt."""
        values = self.recording.values
        wanted = {values[blob.id].name for blob in self.graph.outputs}
        wanted |= {self.recording.loss.name} if self.recording.loss else set()
        blobs = frozenset(value.name for value in values.values())
        params = {node.id: tuple(_attributes(node)) for node in self.graph.nodes if node.params}
        writer = Writer(self.names, self.modules, params, blobs, frozenset(wanted))
        owner = ""
        for statement in writer.statements(self.recording.calls):
            remark = _remark(self.graph.layers.get(statement.owner)) if statement.owner != owner else ""
            owner = statement.owner
            yield from _remarked(statement, remark)
        loss = self.loss()
        returned = self.result()
        yield from lines(returned, _BODY, before=f"return {loss}, " if loss else "return ")


def _remarked(statement: Statement, remark: str) -> Iterator[str]:
    before = f"{', '.join(statement.targets)} = " if statement.targets else ""
    found = list(lines(statement.code, _BODY, before=before))
    if remark and len(found) == 1 and len(found[0]) + 2 + len(remark) <= WIDTH:
        yield f"{found[0]}  {remark}"
        return
    if remark:
        yield f"{' ' * _BODY}{remark}"
    yield from found


def _remark(node: Node | None) -> str:
    place = node.places.layer if node else None
    return f"# line {place.line}" if place else ""


def _assigned(name: str, code: Code) -> Iterator[str]:
    if is_plain(name):
        return lines(code, _BODY, before=f"self.{name} = ")
    return lines(call("self.add_module", (text(name), code)), _BODY)


def _parameters(node: Node) -> Code:
    """A container for the parameters of a node that records no module."""
    pairs = zip(node.params, _attributes(node), strict=True)
    items = (f"{text(name)}: {_initial(param)}" for param, name in pairs)
    return call("nn.ParameterDict", (row(items, "{}"),))


def _initial(param: Param) -> str:
    """First values by the filler; xavier, msra and the like all as msra's."""
    filler, sizes = param.spec.filler, param.spec.shape.known_sizes()
    size = ", ".join(map(str, sizes)) or "()"
    if filler.type == "constant":
        names = {0.0: "torch.zeros", 1.0: "torch.ones"}
        made = names.get(filler.value)
        return f"{made}({size})" if made else f"torch.full({flat(row(map(str, sizes)))}, {typed(filler.value)})"
    if filler.type == "uniform":
        return f"torch.rand({size}) * {typed(filler.max - filler.min)} + {typed(filler.min)}"
    std = filler.std if filler.type == "gaussian" else round(sqrt(2.0 / fans(sizes)[0]), 6)
    return f"torch.randn({size}) * {typed(std)}"


def _sizes(shape: Shape) -> str:
    return ", ".join("1" if size is None else str(size) for size in shape.sizes) or "()"


def _attributes(node: Node) -> list[str]:
    return [spec.name for spec in node.specs]


def _member(module: str, name: str, constructed: Call | None) -> str:
    return f"{module}.{name}" if constructed else f"{module}[{text(name)}]"


def _library(graph: Graph, recording: Recording, more: Iterable[str]) -> Library:
    """What the recording uses of netdef.nn, and `more`; an error for each layer that cannot stand in the file."""
    names: dict[str, None] = dict.fromkeys(more)
    found = []
    for one in recording.calls:
        module, _, name = one.target.rpartition(".")
        if one.kind not in ("function", "module") or module.split(".")[0] == "torch":
            continue
        try:
            library([name] if module == "netdef.nn" else _refuse(module))
        except Rooted:
            node = graph.layers[one.owner]
            message = f'{node.type} "{node.id}" needs more than torch, so that it cannot stand in a file of its own'
            found.append(error("ND0930", message, span=node.places.type, help="leave the layer out of the ejected net"))
        else:
            names[name] = None
    if found:
        raise NetdefError(found)
    return library(names)


def _refuse(module: str) -> Iterable[str]:
    raise Rooted(module)


def _imports(body: str, inlined: Library) -> Iterator[str]:
    """The file's imports, those of Python's own library first, as isort has them."""
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    own = {
        "torch": Import("torch", "", True),
        "F": Import("torch.nn.functional", "F", True),
        "nn": Import("torch", "nn"),
        "Tensor": Import("torch", "Tensor"),
    }
    needed = inlined.imports | {what for name, what in own.items() if name in used}
    for standard in (True, False):
        found = [what for what in needed if (what.module.split(".")[0] in stdlib_module_names) is standard]
        if found:
            yield "\n".join(_import_lines(found))


def _import_lines(found: list[Import]) -> Iterator[str]:
    whole = sorted((what.module, what.name) for what in found if what.whole)
    yield from (f"import {module} as {name}" if name else f"import {module}" for module, name in whole)
    names: dict[str, list[str]] = {}
    for what in found:
        if not what.whole:
            names.setdefault(what.module, []).append(what.name)
    for module in sorted(names):
        yield f"from {module} import {', '.join(sorted(names[module], key=_isort_key))}"


def _isort_key(name: str) -> tuple[int, str]:
    """Constants, classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def _parted(texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The constants, as one block; the functions and classes."""
    definitions = tuple(text for text in texts if text.startswith(("def ", "class ", "@")))
    constants = "\n".join(text for text in texts if text not in definitions)
    return (constants,) if constants else (), definitions


def _quotable(name: str) -> str:
    """A name as it may stand in a docstring: on one line, with nothing that ends or escapes."""
    shown = "".join(c if c.isprintable() else "?" for c in " ".join(name.split()))
    return shown.replace("\\", "/").replace('"', "'")
