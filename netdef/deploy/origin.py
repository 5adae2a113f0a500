"""Which files was a model made from, and are they still there?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from netdef.diagnostics import Diagnostic, warning

_SEPARATOR = "\n"
"""Between the names of several weight files: no shell and no person puts it in a name."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model's metadata say of its making.

    Attributes:
        producer: who wrote the model, with the version, as far as it tells.
        written_here: whether netdef did.
        net: the prototxt, with the content that it had; None where that is not found.
        weights: the weight files alike, all or none of them.
        missing: what stands in the way, for people.
    """

    producer: str
    written_here: bool
    net: Path | None
    weights: tuple[Path, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether the model can be compared with what it was made from."""
        return self.net is not None and not self.missing

    def warnings(self) -> Iterator[Diagnostic]:
        """What to tell where it is not complete: ND0916 of a foreign model, ND0917 of lost files."""
        if not self.written_here:
            message = f"netdef did not write this model ({self.producer}): there is no net to compare it with"
            help = "`netdef verify MODEL NET --weights W` compares it with a net whose blobs bear the same names"
            yield warning("ND0916", message, help=(help, _STILL))
        elif not self.complete:
            message = f"the model cannot be compared with its net: {'; '.join(self.missing)}"
            help = "give them: `netdef verify MODEL NET --weights W`"
            yield warning("ND0917", message, help=(help, _STILL))


_STILL = "checker, shape inference, and ONNX Runtime against onnx's own evaluator judge it all the same"


def find_origin(model: onnx.ModelProto, path: Path) -> Origin:
    """Look for a model's net and weights beside the model and in the working folder; the content decides."""
    props = {prop.key: prop.value for prop in model.metadata_props}
    producer = " ".join(filter(None, (model.producer_name, model.producer_version))) or "it names no producer"
    if "netdef.version" not in props:
        return Origin(producer, False, None, (), ())
    missing: list[str] = []
    net = _find(props.get("netdef.source", ""), props.get("netdef.source_sha256", ""), _folders(path), missing)
    found = [_find(name, sha256, _folders(path), missing) for name, sha256 in _weights(props)]
    weights = tuple(file for file in found if file)
    return Origin(producer, True, net, weights if len(weights) == len(found) else (), tuple(missing))


def origin_props(net: str | None, weights: Sequence[Path]) -> dict[str, str]:
    """The metadata that `find_origin` reads: names without folders, and SHA-256 of the contents."""
    props = {}
    if net and Path(net).is_file():
        props["netdef.source"] = Path(net).name
        props["netdef.source_sha256"] = _sha256(Path(net))
    if weights:
        props["netdef.weights"] = _SEPARATOR.join(file.name for file in weights)
        props["netdef.weights_sha256"] = " ".join(map(_sha256, weights))
    return props


def _folders(path: Path) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(folder.resolve() for folder in (path.parent, Path())))


def _weights(props: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    hashes = props.get("netdef.weights_sha256", "").split()
    names = props.get("netdef.weights", "").split(_SEPARATOR) if "netdef.weights" in props else []
    return zip(names or [""] * len(hashes), hashes, strict=False)


def _find(name: str, sha256: str, folders: Sequence[Path], missing: list[str]) -> Path | None:
    """The file of that name and content; what is wrong goes to `missing`."""
    plain = Path(name).name
    if not plain:
        missing.append("it does not tell the names of its files")
        return None
    there = [folder / plain for folder in folders if (folder / plain).is_file()]
    for file in there:
        if _sha256(file) == sha256:
            return file
    missing.append(f"{there[0]} has changed since" if there else f"{plain} is neither beside it nor here")
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
