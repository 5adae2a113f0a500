"""Which array of the weight files goes to which parameter of the net?

By layer name, as Caffe does (Net::CopyTrainedLayersFrom, src/caffe/net.cpp): a layer that only one side has
is left alone, a layer that both have must agree in number and shapes of its blobs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from netdef.diagnostics import Diagnostic, NetdefError, error, note, warning
from netdef.diagnostics.words import counted, some
from netdef.weights.blob import shape_text
from netdef.weights.caffemodel import four_axes
from netdef.weights.faults import blob_place
from netdef.weights.model import LayerWeights, Weights, is_index
from netdef.weights.narrow import Floats
from netdef.weights.stats import num_not_finite

Shape = tuple[int, ...]
NetLayer = tuple[str, Sequence[tuple[str, Shape]]]
"""A layer's name and its parameters in Caffe's order, each a name ("weight") and Caffe's shape."""

_MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class MatchReport:
    """What goes where.

    Attributes:
        arrays: by layer name and index of the parameter, in the net's shape. Read-only views as a rule.
        matched: layers that got weights, in the net's order.
        skipped: layers with weights in a file that the net does not have.
        left: layers of the net with parameters that got none, and keep their fillers.
        warnings: what Caffe would accept but is dubious, and a note of what is skipped and left.
    """

    arrays: Mapping[tuple[str, int], Floats]
    matched: tuple[str, ...]
    skipped: tuple[str, ...]
    left: tuple[str, ...]
    warnings: tuple[Diagnostic, ...] = ()


def match(
    net_params: Sequence[NetLayer],
    weights: Weights | Sequence[Weights],
    *,
    strict: bool = False,
    shared: Collection[tuple[str, int]] = (),
) -> MatchReport:
    """Find the array of each parameter; of several files a later one wins, like in Caffe's comma list.

    Args:
        net_params: the layers of the net. Of two with one name the first gets the weights, as in Caffe.
        weights: what `read_weights` gave.
        strict: make it an error when a layer is in the net alone or in the files alone.
        shared: (layer, index) of parameters that another layer owns: a file may leave them out.

    Raises NetdefError with every disagreement of every file: ND0610 (number of blobs), ND0611 (shape),
    ND0612 (strict). A shape of four old axes agrees with the net's when that has ones in front (1x1xNxK for
    an InnerProduct's NxK); all others agree only when they are the same. A `transpose`d InnerProduct is
    never turned.
    """
    files = (weights,) if isinstance(weights, Weights) else tuple(weights)
    first = dict(reversed(net_params))
    net = {name: first[name] for name, _ in net_params}
    arrays: dict[tuple[str, int], Floats] = {}
    faults: list[Diagnostic] = []
    for file in files:
        for name, params in net.items():
            layer = file.layer(name)
            if layer is not None and (layer.blobs or params):
                found, wrong = _fitted(file, layer, params, shared)
                arrays.update({(name, index): data for index, data in found.items()})
                faults += wrong
    report = _report(net_params, files, arrays, shared)
    faults += _strictly(report, files) if strict else ()
    if faults:
        raise NetdefError(faults)
    return report


def _fitted(
    file: Weights,
    layer: LayerWeights,
    params: Sequence[tuple[str, Shape]],
    shared: Collection[tuple[str, int]],
) -> tuple[dict[int, Floats], list[Diagnostic]]:
    """The arrays of one layer by index, in the net's shapes, and what does not agree."""
    stored = dict(zip(layer.blob_keys, layer.blobs, strict=True))
    wanted = [str(i) if layer.keys_are_indices else name for i, (name, _) in enumerate(params)]
    missing = [key for i, key in enumerate(wanted) if key not in stored and (layer.name, i) not in shared]
    extra = [key for key in stored if key not in wanted]
    if missing or extra:
        return {}, [_other_number(file, layer, params, missing, extra)]
    found: dict[int, Floats] = {}
    faults: list[Diagnostic] = []
    for index, key in enumerate(wanted):
        name, shape = params[index]
        if key not in stored:
            continue
        if stored[key].shape == (four_axes(shape) if index in layer.legacy and len(shape) <= 4 else shape):
            found[index] = stored[key].reshape(shape)
        else:
            faults.append(_other_shape(file, layer.name, f"{index} ({name})", shape, stored[key].shape))
    return found, faults


def _other_shape(file: Weights, layer: str, blob: str, shape: Shape, stored: Shape) -> Diagnostic:
    message = f"{shape_text(stored)} in the file and {shape_text(shape)} in the net"
    return error(
        "ND0611",
        f"{file.path}: {blob_place(layer, blob)}: {message}",
        help=_shape_help(layer, shape, stored),
    )


def _shape_help(layer: str, shape: Shape, stored: Shape) -> str:
    if len(shape) == 2 and stored[-2:] == shape[::-1]:
        return "the file has it the other way round: set or remove `transpose` in inner_product_param"
    if prod(shape) == prod(stored):
        return "both hold the same count: the layer was set up in another way when the file was written"
    return f'to train "{layer}" from scratch, give it another name in the net'


def _other_number(
    file: Weights,
    layer: LayerWeights,
    params: Sequence[tuple[str, Shape]],
    missing: list[str],
    extra: list[str],
) -> Diagnostic:
    net = ", ".join(f"{name} {shape_text(shape)}" for name, shape in params) or "none"
    stored = ", ".join(
        shape_text(data.shape) if is_index(key) else f"{key} {shape_text(data.shape)}"
        for key, data in zip(layer.blob_keys, layer.blobs, strict=True)
    )
    parts = [f"missing {', '.join(missing)}"] if missing else []
    parts += [f"too many {', '.join(extra)}"] if extra else []
    return error(
        "ND0610",
        f'{file.path}: layer "{layer.name}" has {counted(len(layer.blobs), "blob")} in the file ({stored or "none"}) '
        f"and {counted(len(params), 'blob')} in the net ({net}): {'; '.join(parts)}",
        help=f'make the layer as it was (its bias_term, say), or give "{layer.name}" another name in the net',
    )


def _report(
    net_params: Sequence[NetLayer],
    files: Sequence[Weights],
    arrays: Mapping[tuple[str, int], Floats],
    shared: Collection[tuple[str, int]],
) -> MatchReport:
    owners = (name for name, params in net_params if any((name, i) not in shared for i in range(len(params))))
    names = list(dict.fromkeys(owners))
    in_net = {name for name, _ in net_params}
    got = {name for name, _ in arrays}
    matched = tuple(name for name in names if name in got)
    skipped = tuple(dict.fromkeys(name for file in files for name in file if name not in in_net))
    left = tuple(name for name in names if name not in got)
    told = (*_warnings(files, matched, names), *_not_finite(files, arrays), *_account(files, matched, skipped, left))
    return MatchReport(arrays, matched, skipped, left, told)


def _account(
    files: Sequence[Weights], matched: Collection[str], skipped: Collection[str], left: Collection[str]
) -> Iterator[Diagnostic]:
    """One note of what went where, unless every layer of both sides found its other."""
    if matched and (skipped or left):
        parts = [f"{counted(len(matched), 'layer')} matched"]
        parts += [f"{len(skipped)} skipped, not in the net ({some(skipped, _MOST_NAMES)})"] if skipped else []
        parts += [f"{len(left)} left at their fillers ({some(left, _MOST_NAMES)})"] if left else []
        yield note("ND0619", f"{', '.join(file.path for file in files)}: {', '.join(parts)}")


def _warnings(files: Sequence[Weights], matched: Collection[str], names: Collection[str]) -> Iterator[Diagnostic]:
    for file in files:
        for name in file.repeated:
            yield warning("ND0614", f'{file.path}: layer "{name}" is there twice; the last one is used')
    if names and files and not matched:
        paths = ", ".join(file.path for file in files)
        yield warning("ND0613", f"{paths}: not one layer of the net has weights there")


def _not_finite(files: Sequence[Weights], arrays: Mapping[tuple[str, int], Floats]) -> Iterator[Diagnostic]:
    paths = ", ".join(file.path for file in files)
    for (name, index), data in arrays.items():
        if count := num_not_finite(data):
            message = f"{count:,} of {data.size:,} numbers are NaN or infinite"
            yield warning("ND0620", f"{paths}: {blob_place(name, index)}: {message}")


def _strictly(report: MatchReport, files: Sequence[Weights]) -> Iterator[Diagnostic]:
    if report.left and not files:
        yield error(
            "ND0612", f"no weights are given for {some(report.left, _MOST_NAMES)}", help="name the files by --weights"
        )
        return
    paths = ", ".join(file.path for file in files)
    for name in report.skipped:
        yield error("ND0612", f'{paths}: layer "{name}" is in the file and not in the net')
    for name in report.left:
        yield error("ND0612", f'{paths}: layer "{name}" of the net has no weights in the file')
